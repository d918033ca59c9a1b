"""One scene split in blocks: a rectangle for validation, perhaps one for test, training tiles all around, gaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from minedetect.candidates import Pool, Wanted
from minedetect.config import TileSettings
from minedetect.errors import SplitError
from minedetect.grid import Window, plan_windows
from minedetect.raster import Mask
from minedetect.rectangles import Ground, boxes_of, candidates, common, free_of, grown, held, window_of


@dataclass(frozen=True)
class SceneSplit:
    """One scene's part of the split.

    Args:
        training: training tiles; they overlap one another.
        validation: validation blocks; disjoint rectangles.
        test: blocks that choose nothing; disjoint rectangles.
    """

    training: tuple[Window, ...]
    validation: tuple[Window, ...]
    test: tuple[Window, ...] = ()


def stride_px(settings: TileSettings) -> int:
    """Distance between neighbouring training tiles."""
    return max(1, round(settings.tile_px * (1 - settings.tile_overlap)))


def teaching_tiles(tiles: Sequence[Window], known: npt.NDArray[np.integer]) -> tuple[Window, ...]:
    """The tiles with a known pixel, in order; `known` holds running sums of the known pixels."""
    counts = held(known, boxes_of(tiles)) if tiles else ()
    return tuple(sorted(t for t, count in zip(tiles, counts, strict=True) if count))


def split_blocks(
    mask: Mask, settings: TileSettings, left_out: npt.NDArray[np.bool_] | None = None
) -> tuple[SceneSplit, int]:
    """Blocks for validation and test, tiles all around them, and the widest gap the scene has room for.

    Args:
        mask: uint8 (H, W), 0, 1 or 255.
        settings: tile size, overlap, shares, widest gap.
        left_out: bool (H, W), the mine that validation is to hold; None to hold a share of the mine area.

    Returns:
        The split, and the gap in pixels kept between all its parts.

    Raises:
        SplitError: the scene leaves no way to do so.
    """
    ground = Ground.of(mask)
    if min(mask.shape) >= settings.tile_px:
        for through_mines in (False, True):
            search = _Search.of(ground, settings, through_mines)
            for gap, blocks in search.by_share() if left_out is None else search.around(left_out):
                if blocks is not None and (gap == 0 or blocks.cheap):
                    tiles = _tiles_around(ground.shape, blocks.windows, gap, settings)
                    parts = (blocks.validation,), (blocks.test,) if blocks.test else ()
                    return SceneSplit(teaching_tiles(tiles, ground.known), *parts), gap
    raise SplitError(_no_room(ground, settings, left_out is not None))


def _no_room(ground: Ground, settings: TileSettings, around_mine: bool) -> str:
    around = f" around mine number {settings.leave_mine_out}" if around_mine else ""
    parts = f"a validation block{around}" + (" and a test block" if settings.test_share else "")
    without = " --test-share 0," if settings.test_share else ""
    other = " another --leave-mine-out," if around_mine else ""
    return (
        f"This scene of {ground.shape[0]} x {ground.shape[1]} px, with its mines where they lie, has no room for "
        f"training tiles of {settings.tile_px} px beside {parts}, each with mines and with ground that is none. "
        f"Choose a smaller --tile-px,{without}{other} or train on several scenes."
    )


def _gaps(widest_px: int) -> Iterator[int]:
    gap = widest_px
    while gap:
        yield gap
        gap = 0 if gap < 32 else gap // 2
    yield 0


def _tiles_around(
    shape: tuple[int, int], blocks: Sequence[Window], gap_px: int, settings: TileSettings
) -> list[Window]:
    """Tiles of all the largest rectangles that keep the gap from every block, flush with it."""
    tile, stride = settings.tile_px, stride_px(settings)
    obstacles = [grown(boxes_of([block]), gap_px) for block in blocks]
    slabs = {window_of(free[0]) for free in free_of(shape, obstacles)}
    wide = [s for s in slabs if min(s.height, s.width) >= tile]
    largest = [s for s in wide if not any(s != other and s.intersection(other) == s for other in wide)]
    return sorted(
        {
            window.shifted(slab.row, slab.col)
            for slab in largest
            for window in plan_windows((slab.height, slab.width), tile, stride)
        }
    )


@dataclass(frozen=True)
class _Blocks:
    """Blocks that fit, what they cost, and whether their gap costs little."""

    validation: Window
    test: Window | None
    cost: float
    cheap: bool

    @property
    def windows(self) -> list[Window]:
        return [self.validation, *([self.test] if self.test else [])]


@dataclass(frozen=True)
class _Search:
    """The search of one scene."""

    ground: Ground
    settings: TileSettings
    validation: Pool
    test: Pool | None

    @classmethod
    def of(cls, ground: Ground, settings: TileSettings, through_mines: bool) -> _Search:
        def pool(share: float) -> Pool:
            return Pool.of(ground, candidates(ground, share, settings.tile_px, through_mines))

        test = pool(settings.test_share) if settings.test_share else None
        return cls(ground, settings, pool(settings.validation_share), test)

    def by_share(self) -> Iterator[tuple[int, _Blocks | None]]:
        """Each gap, the widest first, with the blocks nearest the shares asked for."""
        for gap in _gaps(self.settings.max_gap_px):
            wanted = Wanted(self.settings.validation_share, gap, self.settings.tile_px)
            if self.test is None:
                found = self.validation.best(wanted)
                yield gap, _Blocks(found.window, None, found.cost, found.cheap) if found else None
                continue
            tests = self.test.here_and_there(replace(wanted, share=self.settings.test_share))
            beside = self.validation.best_beside([replace(wanted, taken=(test.window,)) for test in tests])
            options = [
                _Blocks(found.window, test.window, found.cost + test.cost, found.cheap)
                for test, found in zip(tests, beside, strict=True)
                if found
            ]
            yield gap, min(options, key=lambda b: (not b.cheap, b.cost), default=None)

    def around(self, left_out: npt.NDArray[np.bool_]) -> Iterator[tuple[int, _Blocks | None]]:
        """The ground around one mine: a wide margin and a gap, then less margin; without a gap only at the end."""
        rows, cols = (np.flatnonzero(left_out.any(axis=1 - axis)) for axis in (0, 1))
        mine = Window(int(rows[0]), int(cols[0]), int(np.ptp(rows)) + 1, int(np.ptp(cols)) + 1)
        half = self.settings.tile_px // 2
        for margin in (half, half // 2):
            for gap in _gaps(self.settings.max_gap_px):
                if gap:
                    yield gap, self._with_margin(mine, margin, gap)
        options = [self._with_margin(mine, margin, 0) for margin in (half, half // 2, half // 4)]
        some_margin = min((o for o in options if o), key=lambda b: not b.cheap, default=None)
        yield 0, some_margin or self._with_margin(mine, 0, 0)

    def _with_margin(self, mine: Window, margin_px: int, gap_px: int) -> _Blocks | None:
        """Validation on a mine's rectangle and a margin, test on what it leaves."""
        scene = boxes_of([Window(0, 0, *self.ground.shape)])
        alone = Pool.of(self.ground, common(grown(boxes_of([mine]), margin_px), scene))
        wanted = Wanted(self.settings.validation_share, gap_px, self.settings.tile_px)
        block = alone.best(wanted)
        if block is None or self.test is None:
            return _Blocks(block.window, None, block.cost, block.cheap) if block else None
        test = self.test.best(replace(wanted, share=self.settings.test_share, taken=(block.window,)))
        return _Blocks(block.window, test.window, test.cost, test.cheap) if test else None
