"""How far the second date lies off the first one, to a fraction of a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.ndimage

from minedetect.grid import Window

Float = npt.NDArray[np.float32]
Real = npt.NDArray[np.float64]

LEAST_SIDE_PX = 32
OBSERVED_SHARE = 0.5
TAPER_PX = 6.0
PASS_CYCLES = 0.12
"""Width of the Gaussian pass in cycles per pixel: finer detail is bent by interpolation and aliasing."""
SEARCH_SHARE = 0.25
FINE_STEP_PX = 0.05
BLOCKS_PX = (256, 128, 64)
BLOCKS_WANTED, BLOCKS_MOST = 16, 64
LEAST_PEAK = 8.0
"""A peak over the surface's own noise; two unrelated images reach about 6."""
LEAST_BLOCKS = 4
AGREE_PX = 0.5
AGREE_SHARE = 0.5


@dataclass(frozen=True)
class BlockShift:
    """What one block says.

    Args:
        rows_px: a feature at row r of the first date lies at row r + rows_px of the second.
        cols_px: likewise for columns.
        peak: height of the correlation peak over the noise of the surface around it.
    """

    rows_px: float
    cols_px: float
    peak: float


@dataclass(frozen=True)
class Shift:
    """Where the second date lies: a feature at (row, col) of the first is at (row + rows_px, col + cols_px) of it.

    Args:
        rows_px: down is positive.
        cols_px: right is positive.
        spread_px: robust standard deviation of the agreeing blocks, along the worse axis.
        blocks: how many blocks agree.
        tried: how many had ground enough to be compared.
        certain: whether enough of the blocks agree for the figures to mean anything.
    """

    rows_px: float
    cols_px: float
    spread_px: float
    blocks: int
    tried: int
    certain: bool

    @property
    def length_px(self) -> float:
        return math.hypot(self.rows_px, self.cols_px)

    def length_m(self, pixel_m: float) -> float:
        """Length on the ground in metres, for pixels whose side is `pixel_m` metres."""
        return self.length_px * pixel_m

    def sentence(self, pixel_m: float) -> str:
        """What was found, for people."""
        if not self.certain:
            return (
                f"The shift between the dates could not be measured: {self.blocks} of {self.tried} blocks agree. "
                "Lay one image over the other and look at roads before you trust changes at mine edges."
            )
        down, right = "down" if self.rows_px > 0 else "up", "right" if self.cols_px > 0 else "left"
        return (
            f"The second date lies {self.length_px:.2f} px ({self.length_m(pixel_m):.1f} m) off the first one: "
            f"{abs(self.rows_px):.2f} px {down} and {abs(self.cols_px):.2f} px {right}, on {self.blocks} of "
            f"{self.tried} blocks, with a spread of {self.spread_px:.2f} px."
        )

    def to_json(self, pixel_m: float) -> dict[str, Any]:
        return {
            "certain": self.certain,
            "rows_px": round(self.rows_px, 3),
            "cols_px": round(self.cols_px, 3),
            "length_px": round(self.length_px, 3),
            "length_m": round(self.length_m(pixel_m), 2),
            "spread_px": round(self.spread_px, 3),
            "blocks": self.blocks,
            "blocks_tried": self.tried,
        }


def block_shift(first: Float, second: Float) -> BlockShift | None:
    """Shift between two images of one block by phase correlation (Kuglin and Hines 1975).

    The peak is found to a whole pixel, both images are cut to the ground they then share, and the rest is
    read from the Fourier sum around the peak, evaluated in fine steps (Guizar-Sicairos et al. 2008, Optics
    Letters 33, 156). Gain and bias of either image do not matter.

    Args:
        first: float32 (H, W), any unit, NaN where unobserved.
        second: likewise.

    Returns:
        The shift, or None where there is too little common ground or no texture.
    """
    whole = _spectrum(first, second)
    if whole is None:
        return None
    rows, cols = _whole_pixel_peak(whole)
    cut = _spectrum(*_common(first, second, rows, cols))
    if cut is None:
        return None
    fine_rows, fine_cols, peak = _fine_peak(cut)
    return BlockShift(rows + fine_rows, cols + fine_cols, peak)


def clearest_shift(first: Float, second: Float) -> BlockShift | None:
    """Shift by the band that shows it most clearly, of two images float32 (C, H, W); None where no band does."""
    bands = [block_shift(a, b) for a, b in zip(first, second, strict=True)]
    return max((b for b in bands if b is not None), key=lambda b: b.peak, default=None)


def shift_of(blocks: Sequence[BlockShift | None]) -> Shift:
    """The shift that most blocks agree on: the median of those within half a pixel of the median.

    Args:
        blocks: from `block_shift`; None counts as not tried, a low peak as tried in vain.
    """
    tried = [b for b in blocks if b is not None]
    clear = np.array([(b.rows_px, b.cols_px) for b in tried if b.peak >= LEAST_PEAK]).reshape(-1, 2)
    if not len(clear):
        return Shift(0.0, 0.0, 0.0, 0, len(tried), certain=False)
    near = clear[np.hypot(*(clear - np.median(clear, axis=0)).T) <= AGREE_PX]
    if not len(near):
        return Shift(0.0, 0.0, 0.0, 0, len(tried), certain=False)
    centre = np.median(near, axis=0)
    # 1.4826 makes the median absolute deviation of a normal distribution its standard deviation.
    spread = 1.4826 * np.median(np.abs(near - centre), axis=0).max()
    enough = len(near) >= max(LEAST_BLOCKS, AGREE_SHARE * len(clear))
    return Shift(float(centre[0]), float(centre[1]), float(spread), len(near), len(tried), certain=bool(enough))


def shift_windows(shape: tuple[int, int]) -> list[Window]:
    """At most 64 windows spread evenly over an (H, W) scene, of the largest side that leaves room for 16."""
    for side in BLOCKS_PX:
        rows, cols = shape[0] // side, shape[1] // side
        if rows * cols >= BLOCKS_WANTED:
            break
    else:
        side = min(BLOCKS_PX[-1], *shape)
        rows, cols = (-(-n // side) for n in shape)  # the last ones overlap rather than leave ground out
    tops, lefts = (np.linspace(0, n - side, k).astype(int) for n, k in zip(shape, (rows, cols), strict=True))
    every = [Window(int(top), int(left), side, side) for top in tops for left in lefts]
    return [every[i] for i in np.linspace(0, len(every) - 1, min(len(every), BLOCKS_MOST)).astype(int)]


def _common(first: Float, second: Float, rows: int, cols: int) -> tuple[Float, Float]:
    """Both images cut to the ground they share when the second lies (rows, cols) whole pixels off."""
    height, width = first.shape
    top, left = max(0, -rows), max(0, -cols)
    bottom, right = min(height, height - rows), min(width, width - cols)
    return first[top:bottom, left:right], second[top + rows : bottom + rows, left + cols : right + cols]


def _spectrum(first: Float, second: Float) -> npt.NDArray[np.complex128] | None:
    """Phases of the cross spectrum under the pass, which sums to 1; None without ground or texture."""
    both = ~(np.isnan(first) | np.isnan(second))
    if min(first.shape) < LEAST_SIDE_PX or both.mean() < OBSERVED_SHARE:
        return None
    taper = _taper(both)
    a, b = (scipy.fft.fft2(taper * _level(image, both, taper)) for image in (first, second))
    cross = np.conj(a) * b
    size = np.abs(cross)
    floor = 1e-12 * float(size.max())
    if floor == 0:
        return None
    weight = _low_pass(first.shape)
    return np.asarray(np.where(size > floor, cross / np.maximum(size, floor), 0) * weight)


def _taper(both: npt.NDArray[np.bool_]) -> Real:
    """Hann window that also falls smoothly to zero at unobserved pixels, whose outline is no texture."""
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in both.shape))
    if both.all():
        return np.asarray(window)
    near = np.clip(scipy.ndimage.distance_transform_edt(both) / TAPER_PX, 0, 1)
    return np.asarray(window * np.sin(near * np.pi / 2) ** 2)


def _level(image: Float, both: npt.NDArray[np.bool_], taper: Real) -> Real:
    """The image less its mean under the taper; unobserved pixels at that mean."""
    filled = np.where(both, image, 0).astype(np.float64)
    mean = float((filled * taper).sum() / taper.sum()) if taper.sum() else 0.0
    level = np.where(both, filled - mean, 0)
    # Rounding noise of a constant image must not pass for texture.
    return np.where(np.abs(level) > 1e-6 * max(abs(mean), 1e-30), level, 0)


def _low_pass(shape: tuple[int, ...]) -> Real:
    rows, cols = (scipy.fft.fftfreq(n) for n in shape)
    weight = np.exp(-(rows[:, None] ** 2 + cols[None] ** 2) / (2 * PASS_CYCLES**2))
    weight[0, 0] = 0.0
    return np.asarray(weight / weight.sum())


def _whole_pixel_peak(spectrum: npt.NDArray[np.complex128]) -> tuple[int, int]:
    surface = np.fft.fftshift(scipy.fft.ifft2(spectrum).real)
    middle = [n // 2 for n in surface.shape]
    reach = [int(SEARCH_SHARE * n) for n in surface.shape]
    rows, cols = (slice(m - r, m + r + 1) for m, r in zip(middle, reach, strict=True))
    searched = surface[rows, cols]
    row, col = np.unravel_index(int(np.argmax(searched)), searched.shape)
    return int(row) - reach[0], int(col) - reach[1]


def _fine_peak(spectrum: npt.NDArray[np.complex128]) -> tuple[float, float, float]:
    """Peak within a pixel of zero, and its height over the surface's root mean square."""
    offsets = np.arange(-1, 1 + FINE_STEP_PX / 2, FINE_STEP_PX)
    rows, cols = (scipy.fft.fftfreq(n) for n in spectrum.shape)
    surface = (
        np.exp(2j * np.pi * np.outer(offsets, rows)) @ spectrum @ np.exp(2j * np.pi * np.outer(cols, offsets))
    ).real
    row, col = np.unravel_index(int(np.argmax(surface)), surface.shape)
    noise = math.sqrt(float((np.abs(spectrum) ** 2).sum()))  # Parseval: the surface's root mean square
    row_px = offsets[row] + FINE_STEP_PX * _vertex(surface[:, col], int(row))
    col_px = offsets[col] + FINE_STEP_PX * _vertex(surface[row], int(col))
    return float(row_px), float(col_px), float(surface[row, col]) / noise


def _vertex(values: Real, at: int) -> float:
    """Where the parabola through a peak and its neighbours is highest, in steps from the peak."""
    if not 0 < at < len(values) - 1:
        return 0.0
    left, here, right = (float(v) for v in values[at - 1 : at + 2])
    bend = left - 2 * here + right
    return 0.5 * (left - right) / bend if bend < 0 else 0.0
