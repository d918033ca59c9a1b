"""The networks of a run, one or one a fold: how each has been trained so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minedetect.curves import Epoch, read_metrics
from minedetect.runs import FOLDS_FOLDER, METRICS, Run


@dataclass(frozen=True)
class Networks:
    """How the networks of a run have been trained so far.

    Args:
        histories: the epochs of each, in the order they are trained; () for one that has not begun.
    """

    histories: tuple[Sequence[Epoch], ...]

    @property
    def count(self) -> int:
        return len(self.histories)

    @property
    def number(self) -> int:
        """Which one was trained last, from 1."""
        return max(1, sum(bool(history) for history in self.histories))

    @property
    def last(self) -> Sequence[Epoch]:
        """The epochs of the one that was trained last."""
        return self.histories[self.number - 1]

    @property
    def waiting(self) -> int:
        """How many come after it."""
        return self.count - self.number

    @property
    def seconds(self) -> float:
        """All epochs of all networks together."""
        return sum(row.seconds for history in self.histories for row in history)

    def caption(self) -> str:
        """Whose curves are shown, where there are several."""
        return (
            f"Figures and curves are those of network {self.number} of {self.count}, on the places where it did not "
            "learn. The model is the mean of all, and its own score is over all places."
        )


def networks_of(run: Run) -> Networks:
    """Read the curves of each network; of runs that train one, those of the run itself."""
    folders = (folder for folder in run.path(FOLDS_FOLDER).glob("*") if folder.name.isdecimal())
    tables = [folder / METRICS for folder in sorted(folders, key=lambda folder: int(folder.name))]
    found = tuple(read_metrics(table) for table in tables if table.is_file())
    return Networks(found if len(found) > 1 else (read_metrics(run.path(METRICS)),))
