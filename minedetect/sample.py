"""A stratified random sample of a run's change map, for people to interpret without seeing the map."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minedetect.allocation import STRATA, allocate, points_for_error
from minedetect.chips import open_chips
from minedetect.config import SampleSettings
from minedetect.design import (
    CHIPS_FOLDER,
    COLUMNS,
    HOW_TO_FILE,
    SAMPLE_POINTS,
    SAMPLE_TABLE,
    Design,
    Point,
    Stratum,
    read_design,
    sample_id_of,
)
from minedetect.errors import RunError, SettingError
from minedetect.files import write_text
from minedetect.manifest import vouch_for
from minedetect.runs import ESTIMATE, SAMPLE_DESIGN, SUMMARY, Progress, Run
from minedetect.strata import StrataMap, draw, open_strata, places, tally

HOW_TO = """How to interpret this sample
============================

Each row of sample.csv is one pixel of the map, drawn at random. For each, say what is really there. Nobody tells you
what the map says, and that is on purpose: look at the ground, not at the map.

1. Open the picture of the point: chips/POINT.png shows {first} on the left and {second} on the right. The point is the
   one pixel between the four ticks, and nothing around it; the corner shows it enlarged. Use better images too where
   you have them (aerial photographs, Google Earth, a visit), as near to both dates as you can get. sample.geojson
   opens in QGIS.{missing}
2. Write one of these words in the column reference of its row:

   mine_both    mine on both dates
   other_both   something else on both dates
   new          something else in {first}, mine in {second}
   gone         mine in {first}, something else in {second}
   unusable     it cannot be told: cloud, shadow, no image

   Mine means here: {definition}
   Where the border of a mine runs through the pixel, decide by its larger part.
3. Say in the column note whatever you like. Change nothing else: no other column, no row more or less.
4. Save as CSV (in Excel: "CSV UTF-8"; commas or semicolons both do), then:

   minedetect estimate {run} sample.csv

Every row needs a word. Do not use the outlines the model was trained with, the run's maps, or sample_design.json in the
run's folder: an interpretation that has seen the answer proves nothing. Two people who interpret apart from each other
and then settle their differences are better than one.
"""


def sample_run(run: Run, folder: Path, settings: SampleSettings, progress: Progress | None = None) -> dict[str, Any]:
    """Draw a sample from a run's change map, and write what an interpreter needs.

    Args:
        run: the finished run; `sample_design.json` goes into it.
        folder: for `sample.csv`, `sample.geojson`, `README.txt` and `chips/`; may be handed to anybody.
        settings: how many points, and the seed.
        progress: called with chips done and to do, or None.

    Returns:
        What `sample --json` prints.

    Raises:
        RunError: there is no change map, or the map has another sample already.
        SettingError: the folder is the run itself or holds a sample.
    """
    strata = open_strata(run)
    _require_free(run, folder)
    with run.locked():
        design, needed = _drawn(strata, settings)
        _make_way(run, design)
        run.write_json(SAMPLE_DESIGN, design.model_dump(mode="json"))
        vouch_for(run, SAMPLE_DESIGN, ESTIMATE)
        chips, note = open_chips(run, strata.grid, strata.years)
        if chips is not None:
            for done, point in enumerate(design.points):
                if progress:
                    progress(done, len(design.points))
                chips.draw(folder / CHIPS_FOLDER / f"{point.point}.png", point.point, point.row, point.col)
        _write_for_people(run, folder, design, has_chips=chips is not None)
    return {
        "sample_id": design.sample_id,
        "n": len(design.points),
        "strata": {name: stratum.model_dump() for name, stratum in design.strata.items()},
        "target_error": settings.target_error,
        "points_for_target_error": needed,
        "chips": len(design.points) if chips is not None else 0,
        "notes": [note] if note else [],
    }


def _require_free(run: Run, folder: Path) -> None:
    if folder.resolve() == run.root.resolve():
        raise SettingError(
            f"--out is the run folder {folder}, where the maps lie; an interpreter must not see them. "
            "Name another folder."
        )
    if (folder / SAMPLE_TABLE).exists():
        raise SettingError(
            f"{folder / SAMPLE_TABLE} exists already, and may hold an interpretation. Choose another --out."
        )


def _make_way(run: Run, design: Design) -> None:
    """Remove the estimate of a sample that this one replaces.

    Raises:
        RunError: this very map has another sample; whoever may draw again could draw until the answer suits.
    """
    earlier = read_design(run) if run.has(SAMPLE_DESIGN) else None
    if earlier is not None and earlier.sample_id == design.sample_id:
        return
    if earlier is not None and earlier.files == design.files:
        raise RunError(
            f"This map has a sample already ({earlier.sample_id}, --n {earlier.n}, --seed {earlier.seed}), and "
            f"`estimate` would no longer take it. Interpret that one; to give it up, delete {run.path(SAMPLE_DESIGN)}."
        )
    run.path(ESTIMATE).unlink(missing_ok=True)


def _drawn(strata: StrataMap, settings: SampleSettings) -> tuple[Design, int]:
    """The design, and the points needed for the target error."""
    pixels, hectares = tally(strata)
    if not pixels.any():
        raise RunError(f"{strata.change.path} holds no pixel with data on both dates: there is nothing to sample.")
    numbers = allocate(settings.n, settings.min_per_stratum, hectares, pixels)
    files = strata.hashes()
    sample_id = sample_id_of(files, settings.seed, settings.n, settings.min_per_stratum)
    found = draw(strata, pixels, numbers, settings.seed)
    lon, lat, m2 = places(strata.grid, found[:, 1], found[:, 2])
    points = tuple(
        Point(
            point=f"{sample_id}-{i + 1:0{len(str(len(found)))}d}",
            stratum=STRATA[stratum],
            row=row,
            col=col,
            lon=round(lon[i], 7),
            lat=round(lat[i], 7),
            pixel_m2=m2[i],
        )
        for i, (stratum, row, col) in enumerate(found.tolist())
    )
    each = zip(STRATA, pixels.tolist(), hectares, hectares / hectares.sum(), numbers.tolist(), strict=True)
    design = Design(
        sample_id=sample_id,
        seed=settings.seed,
        n=settings.n,
        min_per_stratum=settings.min_per_stratum,
        years=strata.years,
        files=files,
        strata={s: Stratum(pixels=p, hectares=float(ha), weight=float(w), points=n) for s, p, ha, w, n in each},
        points=points,
    )
    return design, points_for_error(settings.target_error, hectares, pixels)


def _write_for_people(run: Run, folder: Path, design: Design, has_chips: bool) -> None:
    """Points without their strata, and how to interpret them; the table last, so that it means all is there."""
    features = [
        {
            "type": "Feature",
            "properties": {"point": p.point, "row": p.row, "col": p.col},
            "geometry": {"type": "Point", "coordinates": [p.lon, p.lat]},
        }
        for p in design.points
    ]
    write_text(folder / SAMPLE_POINTS, json.dumps({"type": "FeatureCollection", "features": features}) + "\n")
    definition = run.read_json(SUMMARY).get("mine_definition") or "as in the labels."
    how_to = HOW_TO.format(
        first=design.years[0],
        second=design.years[1],
        definition=definition,
        run=run.root,
        missing="" if has_chips else "\n   This sample came without pictures: the run's images were not at hand.",
    )
    write_text(folder / HOW_TO_FILE, how_to)
    write_text(folder / SAMPLE_TABLE, _table(design.points))


def _table(points: Sequence[Point]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((p.point, f"{p.lon:.7f}", f"{p.lat:.7f}", p.row, p.col, "", "") for p in points)
    return text.getvalue()
