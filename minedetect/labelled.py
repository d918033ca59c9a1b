"""Reading an interpreted sample back: exactly the points that were drawn, each with an answer, or a refusal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from minedetect.design import COLUMNS, REFERENCES, UNUSABLE, Design, Point
from minedetect.errors import BadInput

MOST_BYTES, MOST_ROWS, MOST_HEADER = 32 * 2**20, 20_000, 4096
"""No sample.csv is as large; a larger file is not even looked through."""
DELIMITERS = (",", ";", "\t")
SAME_PLACE_DEG = 2e-6
"""Spreadsheets round; 0.2 m is no other place."""
MOST_TOLD = 8
"""Faults named in one message."""

Row = tuple[int, dict[str, str]]
"""Line in the file, and its cells by column."""


def read_labelled(path: Path, design: Design) -> dict[str, str]:
    """What an interpreter answered for each point of a sample.

    Args:
        path: the filled `sample.csv`; UTF-8, with commas, semicolons or tabs.
        design: the sample that was drawn.

    Returns:
        Class of STRATA by point, or UNUSABLE; every point of the design is there.

    Raises:
        BadInput: no such CSV, or its rows are not the design's points, each once and answered; the rows are named.
    """
    rows = _rows(path)
    drawn = {point.point: point for point in design.points}
    faults = [fault for row in rows if (fault := _fault(row, drawn, design.sample_id))]
    faults += _twice(rows) + _missing(rows, design.points)
    if faults:
        more = [f"and {len(faults) - MOST_TOLD} more"] if len(faults) > MOST_TOLD else []
        raise BadInput(
            "LABELLED",
            f"{path.name} is not the sample that was drawn, or is not filled in: "
            f"{'; '.join([*faults[:MOST_TOLD], *more])}. "
            "Mend these rows; change nothing but the columns reference and note.",
        )
    answers = {cells["point"]: _answer(cells) for _, cells in rows}
    return {point: REFERENCES.get(answer, UNUSABLE) for point, answer in answers.items()}


def _rows(path: Path) -> list[Row]:
    text = _text(path)
    header = text[:MOST_HEADER].split("\n", 1)[0].strip("\r")
    found = [
        d
        for d in DELIMITERS
        if set(COLUMNS[:-1]) <= {_name(cell) for cell in next(csv.reader([header], delimiter=d), [])}
    ]
    if not found:
        raise BadInput(
            "COLUMNS",
            f"{path.name} begins with {header[:80]!r}. Its first line must name the columns "
            f"{', '.join(COLUMNS)}, as in the sample.csv that was written.",
        )
    reader = csv.reader(io.StringIO(text), delimiter=found[0], strict=True)
    try:
        names = [_name(cell) for cell in next(reader)]
        told = ((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
        rows = list(islice(told, MOST_ROWS + 1))
    except csv.Error as error:
        raise BadInput(
            "CSV", f"{path.name} is damaged in line {reader.line_num}: {error}. Save it again as CSV."
        ) from error
    if len(rows) > MOST_ROWS:
        raise BadInput("TOO_LARGE", f"{path.name} has more than {MOST_ROWS:,} rows; no sample.csv has.")
    if len(set(names)) < len(names):
        raise BadInput("COLUMNS", f"{path.name} names a column twice: {', '.join(names)[:200]}. Remove one.")
    return [(line, dict(zip(names, [c.strip() for c in cells], strict=False))) for line, cells in rows]


def _text(path: Path) -> str:
    if not path.is_file():
        raise BadInput("MISSING", f"There is no file {path}. Give the sample.csv that was filled in.")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadInput("TOO_LARGE", f"{path.name} is larger than {MOST_BYTES // 2**20} MiB; no sample.csv is.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput("ENCODING", f'{path.name} is not UTF-8. Save it as "CSV UTF-8".') from error


def _name(cell: str) -> str:
    return cell.strip().lower()


def _answer(cells: dict[str, str]) -> str:
    return cells.get("reference", "").lower().replace(" ", "_")


def _fault(row: Row, drawn: dict[str, Point], sample_id: str) -> str:
    """What is wrong with one row, or an empty string."""
    line, cells = row
    name = cells.get("point", "")
    if name not in drawn:
        other = "is of another sample than" if name.partition("-")[0] != sample_id else "was not drawn in"
        return f"line {line}: point {name[:40]!r} {other} {sample_id}"
    moved = [column for column, differs in _PLACE if differs(cells.get(column, ""), drawn[name])]
    if moved:
        return f"line {line}: {name} has other {' and '.join(moved)} than were drawn"
    if not _answer(cells):
        return f"line {line}: {name} has no reference"
    if _answer(cells) not in (*REFERENCES, UNUSABLE):
        told = ", ".join((*REFERENCES, UNUSABLE))
        return f"line {line}: {name} has the reference {cells['reference'][:40]!r}, not one of {told}"
    return ""


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return float("nan")


_PLACE: tuple[tuple[str, Callable[[str, Point], bool]], ...] = (
    ("row", lambda text, point: _number(text) != point.row),
    ("col", lambda text, point: _number(text) != point.col),
    ("lon", lambda text, point: not abs(_number(text) - point.lon) <= SAME_PLACE_DEG),
    ("lat", lambda text, point: not abs(_number(text) - point.lat) <= SAME_PLACE_DEG),
)


def _twice(rows: Sequence[Row]) -> list[str]:
    lines: dict[str, list[int]] = {}
    for line, cells in rows:
        lines.setdefault(cells.get("point", ""), []).append(line)
    return [
        f"point {name[:40]!r} is there {len(at)} times (lines {', '.join(map(str, at[:5]))})"
        for name, at in lines.items()
        if len(at) > 1
    ]


def _missing(rows: Sequence[Row], points: Sequence[Point]) -> list[str]:
    there = {cells.get("point") for _, cells in rows}
    gone = [point.point for point in points if point.point not in there]
    return [f"{len(gone)} points are missing, the first {gone[0]}"] if gone else []
