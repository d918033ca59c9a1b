"""A moment of training on made-up tiles, by the very steps a training takes, to see how fast they are."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch

from minedetect.bands import BandContract
from minedetect.config import TrainingSettings
from minedetect.errors import MinedetectError
from minedetect.grid import Window
from minedetect.model import FACTOR_PX
from minedetect.pace import Pace
from minedetect.presets import settings_from
from minedetect.processes import make_fabric
from minedetect.tiles import TrainingScene, ValidationTile
from minedetect.training_state import Task, TrainingState
from minedetect.validate import Judge

BUDGET_S = 1.5
"""Steps go on, each larger than the last, as long as the next ones fit into so much time."""
GROWTH = 4
"""How many times more pixels the next step has."""
NICENESS = 10


@dataclass(frozen=True)
class Shape:
    """Tiles of one step, and their side."""

    tiles: int
    side_px: int

    @property
    def px(self) -> int:
        return self.tiles * self.side_px**2


@dataclass(frozen=True)
class Timed:
    """Seconds of one step of training, and of one look at as many validation tiles."""

    shape: Shape
    learned_s: float
    judged_s: float


def probe(settings: TrainingSettings, bands: int, spare: bool = False) -> Pace:
    """Take a few steps of training and validation, each shape once before it counts.

    The steps grow up to a whole batch. Where that would take too long, the seconds of the last two shapes tell
    those of a batch: a fixed part, such as the optimizer's, and one that goes with the pixels.

    Args:
        settings: of the training.
        bands: C, bands of an image.
        spare: leave a core to whoever works on this machine already.

    Raises:
        DeviceError: the device or precision asked for is not there, or its memory is too small.
    """
    fabric, device = make_fabric(settings.model_copy(update={"devices": 1}))
    if spare and device.kind == "cpu":
        torch.set_num_threads(max(1, torch.get_num_threads() - 1))
    own = settings.model_copy(update={"init": ""})
    state = TrainingState(fabric, Task((_made_up(bands, settings.tile_px),), _contract(bands), own))
    state.begin_epoch()
    seen: list[Timed] = []
    began_s = time.perf_counter()
    for shape in shapes(settings):
        left_s = BUDGET_S - (time.perf_counter() - began_s)
        if len(seen) > 1 and 2 * sum(reckoned(seen, shape)) > left_s:
            break
        _timed(state, shape)
        seen.append(_timed(state, shape))
    whole = Shape(settings.batch, settings.tile_px)
    learned_s, judged_s = reckoned(seen, whole)
    rates = settings.batch / learned_s, settings.batch / judged_s
    return Pace(*rates, device.name, device.precision, seen[-1].shape == whole)


def shapes(settings: TrainingSettings) -> Iterator[Shape]:
    """Ever larger steps, up to the one that the training takes."""
    side_px = min(4 * FACTOR_PX * settings.coarsen, settings.tile_px)
    while side_px < settings.tile_px:
        yield Shape(1, side_px)
        side_px *= 2
    tiles = 1
    while tiles < settings.batch:
        yield Shape(tiles, settings.tile_px)
        tiles *= GROWTH
    yield Shape(settings.batch, settings.tile_px)


def reckoned(seen: list[Timed], whole: Shape) -> tuple[float, float]:
    """Seconds of learning from, and of judging, a whole batch, by the last two shapes seen."""
    last = seen[-1]
    if last.shape == whole or len(seen) == 1:
        factor = whole.px / last.shape.px
        return factor * last.learned_s, factor * last.judged_s
    before, more_px = seen[-2], last.shape.px - seen[-2].shape.px

    def on_a_line(then_s: float, now_s: float) -> float:
        a_pixel_s = max((now_s - then_s) / more_px, 0.5 * now_s / last.shape.px)  # noise must not make it free
        return now_s + a_pixel_s * (whole.px - last.shape.px)

    return on_a_line(before.learned_s, last.learned_s), on_a_line(before.judged_s, last.judged_s)


def _timed(state: TrainingState, shape: Shape) -> Timed:
    window = Window(0, 0, shape.side_px, shape.side_px)
    state.settings = state.settings.model_copy(update={"batch": shape.tiles, "tile_px": shape.side_px})
    state.places, state.at_once = [(0, window)] * shape.tiles, shape.tiles
    state.order, state.at = torch.arange(shape.tiles), 0
    started = time.perf_counter()
    state.step()
    float(state.loss_sum)  # waits for the device
    learned_s = time.perf_counter() - started
    tiles = (ValidationTile(0, window, window),) * shape.tiles
    judge = Judge(state.fabric, state.scenes, tiles, shape.side_px)
    return Timed(shape, learned_s, judge(state.averaged.module, state.loss_of, state.at_once).seconds)


def _made_up(bands: int, side_px: int) -> TrainingScene:
    """Noise, every other row of it labelled mine."""
    pixels = torch.rand(bands, side_px, side_px, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(side_px, side_px, dtype=torch.uint8)
    labels[::2] = 1
    windows = (Window(0, 0, side_px, side_px),)
    return TrainingScene(pixels, labels, windows, windows)


def _contract(bands: int) -> BandContract:
    names = tuple(f"band {number}" for number in range(1, bands + 1))
    return BandContract(names, "reflectance", (0.0,) * bands, (1.0,) * bands, 10.0)


def main(asked: str) -> int:
    """The child process: what to measure as JSON in, the pace as JSON out."""
    os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))
    given = json.loads(asked)
    try:
        pace = probe(settings_from(given["settings"], gpu=False), given["bands"], given["spare"])
    except MinedetectError as error:
        print(error, file=sys.stderr)  # noqa: T201 (read by the parent)
        return 2
    print(json.dumps(asdict(pace)))  # noqa: T201 (likewise)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
