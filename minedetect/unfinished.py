"""Finished bands of a prediction that is not, kept beside its output: what a later attempt goes on from."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minedetect.files import forget_killed, replacing
from minedetect.grid import Window
from minedetect.raster import Float


@dataclass(frozen=True)
class Unfinished:
    """Bands of probability, a file each, in a hidden folder whose name says what they are bands of.

    Another image, model or setting has another identity, so another folder: nothing of it can be taken for ours,
    also when two commands write one output at a time.

    Args:
        output: the file the prediction will be.
        identity: hexadecimal digest of everything the pixels follow from.
        shape: (H, W) of the scene.
    """

    output: Path
    identity: str
    shape: tuple[int, int]

    @property
    def folder(self) -> Path:
        return self.output.with_name(f".{self.output.name}.{self.identity}.part")

    def begin(self) -> None:
        """Remove what earlier attempts left beside the output, but for what this one can go on from."""
        forget_killed(self.output)
        ours = re.compile(re.escape(f".{self.output.name}.") + r"[0-9a-f]{64}\.part")
        for other in self.output.parent.glob(".*.part"):
            if ours.fullmatch(other.name) and other != self.folder:
                shutil.rmtree(other, ignore_errors=True)

    def bands(self) -> Iterator[tuple[Window, Float]]:
        """The bands that are finished, from the top down to the first one missing."""
        row, (rows, cols) = 0, self.shape
        while row < rows:
            try:
                band = np.load(self._path(row), allow_pickle=False)
            except (OSError, EOFError, ValueError):
                return
            if band.dtype != np.float32 or band.ndim != 2 or band.shape[1] != cols or not 0 < len(band) <= rows - row:
                return
            yield Window(row, 0, len(band), cols), band
            row += len(band)

    def keep(self, window: Window, probability: Float) -> None:
        """Keep a finished band: whole or not at all.

        Raises:
            BadInput: the disk is full or the folder cannot be written.
        """
        with replacing(self._path(window.row)) as temporary, temporary.open("wb") as file:
            np.save(file, probability, allow_pickle=False)

    def forget(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, row: int) -> Path:
        return self.folder / f"{row:08d}.npy"
