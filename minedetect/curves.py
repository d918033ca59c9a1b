"""How a training went, epoch by epoch: the rows of `metrics.csv`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from minedetect.files import write_text

WHOLE = ("epoch", "kept_epoch")


@dataclass(frozen=True)
class Epoch:
    """One pass over the training tiles; scores are of the mine class over all validation pixels.

    Args:
        epoch: number of the epoch, from 1.
        train_loss: mean loss over its steps.
        validation_loss: mean loss over known validation pixels.
        iou: nan where there is neither label nor prediction, like the other scores.
        dice: Dice coefficient.
        precision: share of predicted mine pixels that are labelled mine.
        recall: share of labelled mine pixels that are predicted.
        learning_rate: the rate its last step was taken with.
        seconds: all of the epoch, validation included.
        patches_per_s: training tiles a second, validation left out.
        memory_mb: peak so far, of the GPU or of the process (10^6 bytes).
        predicted_share: share of known validation pixels called mine.
        mine_share: share of known validation pixels labelled mine.
        kept_epoch: whose weights are kept after this epoch; 0 for none.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    iou: float
    dice: float
    precision: float
    recall: float
    learning_rate: float
    seconds: float
    patches_per_s: float
    memory_mb: float
    predicted_share: float
    mine_share: float
    kept_epoch: int


def write_metrics(path: Path, history: Sequence[Epoch]) -> None:
    """Write `metrics.csv`, one row an epoch."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [f.name for f in fields(Epoch)], lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in asdict(row).items()})
    write_text(path, text.getvalue())


def read_metrics(path: Path) -> tuple[Epoch, ...]:
    """The rows of a `metrics.csv`; those that are not whole are left out, () where there is no file."""
    if not path.is_file():
        return ()
    with path.open(encoding="utf-8", newline="") as file:
        rows = (_epoch(line) for line in csv.DictReader(file))
        return tuple(row for row in rows if row is not None)


def of_older_version(path: Path) -> bool:
    """Whether a `metrics.csv` holds epochs, but lacks columns without which none of them can be read."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        columns = set(table.fieldnames or ())
        return "epoch" in columns and not columns.issuperset(f.name for f in fields(Epoch)) and any(table)


def _epoch(line: Mapping[str | Any, str | Any]) -> Epoch | None:
    try:
        values: dict[str, Any] = {f.name: (int if f.name in WHOLE else float)(line[f.name]) for f in fields(Epoch)}
    except (KeyError, TypeError, ValueError):
        return None
    return Epoch(**values)
