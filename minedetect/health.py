"""The health of a training in words: what its curves show so far, and which flag to change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from minedetect.config import TrainingSettings
from minedetect.curves import Epoch
from minedetect.presets import limits
from minedetect.trends import WINDOW, best, ends, lowest, mean, noise, windows

Verdict = Literal["good", "watch", "bad"]

TOO_EARLY = 4
"""Fewer epochs show no trend: there must be two at each end."""
NOISE_STEPS = 3.0
"""A change counts when it is this many times the usual step from one epoch to the next."""
FALLEN = 0.98
"""A loss below this share of what it was has fallen; closer than that is standing still."""
RISEN = 1.25
"""A training loss this far above its lowest is no wobble: what was learned is being lost."""
OVERFIT_RISE, OVERFIT_FALL = 1.10, 0.95
"""Validation loss up by this while training loss is down by that: it learns its tiles by heart."""
OVERFIT_BAD = 1.5
"""A validation loss this far above its lowest no longer comes back."""
LEAST_GAIN = 0.01
"""Less than this, of the loss as a share or of the IoU, over several epochs is no progress."""
FALLEN_BACK = 0.05
"""An IoU this far below its best is worth a word; the best epoch is what is kept."""
STUCK_EPOCHS = 8
"""Longer than the plateau after which the rate is halved by default: halving it did not help."""
GUESS = 2.0
"""An IoU under this many times the share of mines is a guess: calling all ground mine scores once that share."""
ONE_CLASS_EPOCHS, ONE_CLASS_BAD_EPOCHS, ONE_CLASS_END = 3, 6, 20
"""A word after the first, a change after the second. While the training loss still falls only after the third: the
weights that are validated are an average that follows slowly, and a sound training may begin with ten such epochs."""
FEW_FOUND, NEARLY_ALL = 0.05, 0.95
"""Less than this share of the mines' ground is no mine found; more than that share of all ground is all of it."""
STOP_NEAR = 0.5
"""From this share of --early-stop-epochs on the end is worth a word."""
STILL_LEARNING = 0.1
"""A best epoch within this last share of all epochs says that more might help."""
GENTLE_RATE, LOW_RATE = 5e-4, 1e-4
"""The rate to try where training is stuck; below the second it is the rate itself that hardly moves anything."""
STRONG_DECAY, STRONG_JITTER = 1e-3, 0.2
"""What to try against learning by heart."""
MINE_WEIGHT, EVEN_WEIGHT = 10.0, 1.0
"""Loss weights to try where no mine, or nothing but mine, is found."""


@dataclass(frozen=True)
class Sign:
    """One thing that the curves show.

    Args:
        name: what it is about, in a word or two.
        verdict: good, watch (look again later) or bad (change something).
        message: what was seen, with figures, and what to do about it; one sentence.
    """

    name: str
    verdict: Verdict
    message: str


@dataclass(frozen=True)
class _Seen:
    rows: Sequence[Epoch]
    settings: TrainingSettings
    train: list[float]
    validation: list[float]
    iou: list[float]
    scored: list[float]
    top: Epoch | None

    @property
    def since_best(self) -> int:
        """Epochs since the best one, all of them where no epoch has an IoU."""
        return self.rows[-1].epoch - self.top.epoch if self.top else len(self.rows)

    @property
    def kept(self) -> str:
        return f"epoch {self.top.epoch} with IoU {self.top.iou:.2f}" if self.top else "no epoch, for none has an IoU,"

    @property
    def other_rate(self) -> str:
        """A gentler rate, half of one that is gentle already; more for one that hardly moves anything."""
        rate = self.settings.learning_rate
        return _rate(GENTLE_RATE if rate > GENTLE_RATE or rate < LOW_RATE else rate / 2)


def signs(history: Sequence[Epoch], settings: TrainingSettings) -> tuple[Sign, ...]:
    """What can be told from the curves so far.

    Args:
        history: the epochs, in order.
        settings: what the training was asked for.

    Returns:
        The signs that could be read, never none.
    """
    train, validation = [row.train_loss for row in history], [row.validation_loss for row in history]
    iou = [row.iou for row in history]
    seen = _Seen(history, settings, train, validation, iou, [v for v in iou if math.isfinite(v)], best(history))
    broken = _not_a_number(seen)
    if broken:
        return (broken,)
    found: list[Sign | None]
    if len(history) < TOO_EARLY:
        found = [_too_early(len(history))]
    else:
        trouble, classes = _diverging(seen) or _stuck(seen), _classes(seen)
        told = trouble or (classes and classes.verdict != "good" and not _rising(seen))
        found = [
            trouble,
            None if trouble else _loss(seen),
            None if told else _scores(seen),
            _overfitting(seen),
            classes,
        ]
    return tuple(sign for sign in (*found, _ending(seen) or _early_stop(seen)) if sign)


def summary(found: Sequence[Sign]) -> str:
    """The worst signs in one sentence, for a log line."""
    for verdict, word in (("bad", "Bad"), ("watch", "Watch")):
        worst = [sign.message.rstrip(".") for sign in found if sign.verdict == verdict]
        if worst:
            return f"{word}: {'; '.join(worst)}."
    return "The training looks healthy."


def _too_early(epochs: int) -> Sign:
    seen = f"{epochs} epoch{'' if epochs == 1 else 's'} done"
    return Sign("Too early", "watch", f"It is too early to tell: {seen}, and trends show from {TOO_EARLY} epochs on.")


def _not_a_number(seen: _Seen) -> Sign | None:
    if not seen.rows or math.isfinite(seen.train[-1] + seen.validation[-1]):
        return None
    told = f"The loss is no longer a number in epoch {seen.rows[-1].epoch}"
    return Sign(
        "Diverging", "bad", f"{told}: start anew with --learning-rate {_rate(seen.settings.learning_rate / 4)}."
    )


def _diverging(seen: _Seen) -> Sign | None:
    if len(seen.rows) < 2 * WINDOW:
        return None
    before, recent = seen.train[:-WINDOW], seen.train[-WINDOW:]
    at = lowest(before)
    low, now = mean(before[at : at + WINDOW]), mean(recent)
    apart = min(recent) > max(before[at : at + WINDOW]) and now - low > NOISE_STEPS * noise(before)
    if not (apart and now > RISEN * low):
        return None
    told = f"The training loss rose from {low:.3g} near epoch {seen.rows[at + WINDOW // 2].epoch} to {now:.3g}"
    return Sign(
        "Diverging", "bad", f"{told}: start anew with --learning-rate {_rate(seen.settings.learning_rate / 4)}."
    )


def _stuck(seen: _Seen) -> Sign | None:
    if len(seen.rows) < STUCK_EPOCHS or seen.since_best < STUCK_EPOCHS - 1 or _gaining(seen):
        return None
    told = f"No progress for {STUCK_EPOCHS} epochs: the training loss stays at {seen.train[-1]:.3g}"
    advice = f"try --learning-rate {seen.other_rate}"
    if seen.top and not seen.top.iou < GUESS * seen.rows[-1].mine_share:
        return Sign("Stuck", "watch", f"{told}; if the best, {seen.kept}, is not enough, {advice}.")
    return Sign("Stuck", "bad", f"{told} and the best, {seen.kept}, is no better than a guess; {advice}.")


def _gaining(seen: _Seen) -> bool:
    """Whether any curve got better from the epochs before the last few to the last few."""
    width = min(STUCK_EPOCHS, len(seen.rows) // 2)
    before, recent = slice(-2 * width, -width), slice(-width, None)
    return (
        any(mean(loss[recent]) < (1 - LEAST_GAIN) * mean(loss[before]) for loss in (seen.train, seen.validation))
        or mean(seen.iou[recent]) > mean(seen.iou[before]) + LEAST_GAIN
    )


def _loss(seen: _Seen) -> Sign:
    first, now = ends(seen.train)
    if now < FALLEN * first:
        return Sign("Loss", "good", f"The training loss fell from {first:.3g} to {now:.3g}.")
    told = f"The training loss has not fallen: it was {first:.3g} and is {now:.3g} after {len(seen.rows)} epochs"
    return Sign("Loss", "watch", f"{told}; if it stays so, try --learning-rate {seen.other_rate}.")


def _overfitting(seen: _Seen) -> Sign | None:
    """By trends: the training loss is a mean over steps on changed tiles, so its level says little beside the other."""
    if len(seen.rows) < 2 * WINDOW:
        return None
    at = lowest(seen.validation)
    then, recent = slice(at, at + WINDOW), slice(-WINDOW, None)
    low, now = mean(seen.validation[then]), mean(seen.validation[recent])
    if not (now > OVERFIT_RISE * low and now - low > NOISE_STEPS * noise(seen.validation)):
        return Sign("Over-fitting", "good", f"None seen: the validation loss, {now:.3g} now, does not rise.")
    train_low, train_now = mean(seen.train[then]), mean(seen.train[recent])
    if not train_now < OVERFIT_FALL * train_low:
        return None
    return Sign(
        "Over-fitting",
        "bad" if now > OVERFIT_BAD * low else "watch",
        f"The validation loss rose from {low:.3g} to {now:.3g} while the training loss fell from {train_low:.3g} to "
        f"{train_now:.3g}, so it learns its tiles by heart: {_by_heart_less(seen.settings)}, or outline more mines.",
    )


def _by_heart_less(settings: TrainingSettings) -> str:
    if not settings.flips:
        return "train with --flips"
    if settings.band_jitter < STRONG_JITTER:
        return f"try --band-jitter {STRONG_JITTER:g}"
    if settings.weight_decay < STRONG_DECAY:
        return f"try --weight-decay {STRONG_DECAY:g}"
    return f"try a smaller network with --width {max(int(limits('width')[0] or 1), settings.width // 2)}"


def _rising(seen: _Seen) -> bool:
    first, now = ends(seen.scored)
    return now > first + LEAST_GAIN


def _scores(seen: _Seen) -> Sign:
    if seen.top is None:
        share = min(limits("validation_share")[1] or 1.0, 1.5 * seen.settings.validation_share)
        told = "There is no IoU: the validation ground has no labelled mine and none was found there"
        return Sign("Scores", "watch", f"{told}; try --validation-share {share:.2g}.")
    first, now = ends(seen.scored)
    peak = max(windows(seen.scored))
    if peak - now > max(FALLEN_BACK, NOISE_STEPS * noise(seen.scored)):
        told = f"The IoU fell back from {peak:.2f} to {now:.2f}, and {seen.kept} is what is kept"
        return Sign("Scores", "watch", f"{told}; --learning-rate {_rate(seen.settings.learning_rate / 2)} is steadier.")
    if _rising(seen):
        dice = "from {:.2f} to {:.2f}".format(*ends([row.dice for row in seen.rows]))
        told = f"The IoU rose from {first:.2f} to {now:.2f} and Dice {dice}"
        return Sign("Scores", "good", f"{told}; the best is {seen.kept}.")
    told = f"The IoU does not rise: it was {first:.2f} and is {now:.2f}, and the best is {seen.kept}"
    return Sign("Scores", "watch", f"{told}; if it stays so, try --learning-rate {seen.other_rate}.")


def _classes(seen: _Seen) -> Sign | None:
    recent, last, weight = seen.rows[-ONE_CLASS_EPOCHS:], seen.rows[-1], seen.settings.mine_weight
    if not math.isfinite(last.predicted_share + last.mine_share):
        return None
    called, labelled = _percent(last.predicted_share), _percent(last.mine_share)
    told = f"{called} of the validation ground is called mine and {labelled} is labelled mine"
    before, now = mean(seen.train[-2 * WINDOW : -WINDOW]), mean(seen.train[-WINDOW:])
    late = len(seen.rows) >= (ONE_CLASS_END if now < FALLEN * before else ONE_CLASS_BAD_EPOCHS)
    verdict: Verdict = "bad" if late else "watch"
    wait = "" if late else "wait while the training loss falls, or "
    advice = f", or --learning-rate {_rate(seen.settings.learning_rate / 2)}"
    if all(row.predicted_share < FEW_FOUND * row.mine_share for row in recent):
        more = min(limits("mine_weight")[1] or MINE_WEIGHT, max(MINE_WEIGHT, 2 * weight))
        told = f"Hardly any mine is found: {told}; {wait}try --mine-weight {more:g}{advice}."
        return Sign("One class", verdict, told)
    if all(row.predicted_share > NEARLY_ALL > row.mine_share for row in recent):
        less = weight / 2 if weight else EVEN_WEIGHT
        told = f"Nearly all is called mine: {told}; {wait}try --mine-weight {less:g}{advice}."
        return Sign("One class", verdict, told)
    if all(row.iou <= row.mine_share for row in recent):
        return Sign("Wrong places", verdict, f"Mines are called elsewhere than labelled (IoU {last.iou:.2f}): {told}.")
    return Sign("Both classes", "good", f"Both mines and other ground are called: {told}.")


def _early_stop(seen: _Seen) -> Sign | None:
    most, since = seen.settings.early_stop_epochs, seen.since_best
    if since >= most:
        return Sign("Early stop", "good", f"Reached: no better IoU for {since} epochs; {seen.kept} is kept.")
    if since < max(2.0, STOP_NEAR * most):
        return None
    longer = min(int(limits("early_stop_epochs")[1] or most), 2 * most)
    told = f"No better IoU for {since} epochs: after {most} the training ends by itself and {seen.kept} is kept"
    return Sign("Early stop", "watch", f"{told}; --early-stop-epochs {longer} would give it longer.")


def _ending(seen: _Seen) -> Sign | None:
    asked = seen.settings.epochs
    if not seen.rows or seen.rows[-1].epoch < asked:
        return None
    more = min(int(limits("epochs")[1] or asked), asked + max(1, asked // 2))
    by_design = seen.settings.choose_last < 1 or seen.settings.schedule == "cosine"
    if seen.top is None or by_design or seen.since_best > STILL_LEARNING * asked or more == asked:
        return Sign("End", "good", f"All {asked} epochs are done; {seen.kept} is kept.")
    told = f"All {asked} epochs are done and the best is among the last, {seen.kept}"
    return Sign(
        "End", "watch", f"{told}: it may still be learning, so go on with minedetect resume and --epochs {more}."
    )


def _rate(rate: float) -> str:
    return f"{rate:.2g}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
