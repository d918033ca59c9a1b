"""Band names: one spelling, and which name belongs to which band of a file."""

from __future__ import annotations

import re
from collections.abc import Sequence

from minedetect.errors import BandMismatch
from minedetect.raster import Raster

PROPOSALS = {
    3: "B2,B3,B4",
    4: "B2,B3,B4,B8",
    5: "B2,B3,B4,B8,B11",
    12: "B1,B2,B3,B4,B5,B6,B7,B8,B8A,B9,B11,B12",
}
"""What files of so many bands usually hold."""


def canonical(name: str) -> str:
    """One spelling of a band name: "B02", "b2" and "Band 2" are "B2"; "B8A" stays itself."""
    text = re.sub(r"[\s_]+", "", name.upper()).replace("BAND", "B")
    numbered = re.fullmatch(r"B?0*(\d+)(A?)", text)
    return f"B{numbered[1]}{numbered[2]}" if numbered else text


def own_names(raster: Raster) -> tuple[str, ...]:
    """The file's own band names; "" for each where they only count the bands: "Band 1", "Band 2" and so on."""
    counting = all(
        re.fullmatch(rf"band[ _]?0*{number}", name.strip(), re.IGNORECASE)
        for number, name in enumerate(raster.bands, start=1)
    )
    return tuple("" if counting else canonical(name) for name in raster.bands)


def name_bands(raster: Raster, given: str) -> tuple[str, ...]:
    """Names of a raster's bands, in the file's order: what the file says, else what the user gave.

    Names given for a file that has these among its own are a choice of bands, not new names.

    Args:
        raster: the image's header.
        given: comma-separated names, or "".

    Raises:
        BandMismatch: no names at all, a wrong count, or a name twice.
    """
    count = len(raster.bands)
    own, told = own_names(raster), _split_names(given)
    if all(own) and told and set(told) & set(own) and not set(told) <= set(own):
        raise BandMismatch(
            f"{raster.path.name} names its own bands {', '.join(own)}; {', '.join(sorted(set(told) - set(own)))} "
            "of --bands is not among them. Leave --bands out, or choose from these."
        )
    names = own if all(own) and (not told or set(told) <= set(own)) else told
    if not names:
        raise BandMismatch(
            f"{raster.path.name} has {count} bands, not all of them named. "
            f"Say which they are, in order: --bands {proposal(count)}"
        )
    if len(names) != count:
        raise BandMismatch(
            f"{raster.path.name} has {count} bands, but {len(names)} names were given: {', '.join(names)}. "
            "Give one name for each band, in order."
        )
    if len(set(names)) != count or not all(names):
        raise BandMismatch(
            f"{raster.path.name}: a band name is empty or used twice in {','.join(names)}. Name each band once."
        )
    return names


def training_bands(raster: Raster, given: str) -> tuple[str, ...]:
    """Bands to learn from: those the user gave, else all of the image's, in its order.

    Raises:
        BandMismatch: as `name_bands`.
    """
    names = name_bands(raster, given)
    return _split_names(given) or names


def bands_to_check(raster: Raster, given: str, beside: Sequence[str] = ()) -> tuple[tuple[str, ...], str]:
    """Names of all bands for a check, which goes on where the steps that compute would stop.

    Args:
        raster: the image's header.
        given: comma-separated names, or "".
        beside: names of another date's bands, which stand in for missing ones of as many bands.

    Returns:
        The names, and what must be done about them before anything is computed, or "".

    Raises:
        BandMismatch: names were given, or lie in the file, that cannot be right.
    """
    count = len(raster.bands)
    if len(beside) == count and tuple(beside) == stand_ins(count):
        return tuple(beside), (
            f"The first date has no band names; the {count} bands of {raster.path.name} were taken in its order. "
            "Name them in the file, or with --bands for both."
        )
    if given.strip() or all(own_names(raster)):
        return name_bands(raster, given), ""
    if len(beside) == count:
        return tuple(beside), (
            f"{raster.path.name} has no band names; its {count} bands were taken in the other date's order. "
            "Name them in the file, or with --bands for both."
        )
    return stand_ins(count), (
        f"{raster.path.name} has {count} bands, not all of them named. Training and prediction stop here: "
        f"say which they are, in order, for example --bands {proposal(count)}"
    )


def stand_ins(count: int) -> tuple[str, ...]:
    """What bands without names are called in a check."""
    return tuple(f"BAND{i}" for i in range(1, count + 1))


def _split_names(given: str) -> tuple[str, ...]:
    return tuple(canonical(n) for n in given.split(",")) if given.strip() else ()


def proposal(count: int) -> str:
    """Names to propose for so many bands, as --bands takes them."""
    return PROPOSALS.get(count, ",".join(f"NAME{i}" for i in range(1, count + 1)))
