from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hostile_archives import GOOD as SHAPEFILE
from hostile_case import Make, Site, text
from hostile_child import End, in_fork
from hostile_packages import GOOD as PACKAGE
from hostile_rasters import PACKED
from hostile_vectors import GOOD as OUTLINES

from minedetect.grid import Window
from minedetect.intake import examine
from minedetect.labels import mask_on
from minedetect.raster import open_raster, read
from minedetect.tiff import Limits

FORMATS: dict[str, Make] = {
    "image.tif": PACKED,
    "mines.geojson": text(OUTLINES),
    "mines.gpkg": PACKAGE,
    "mines.zip": SHAPEFILE,
}
HURTS = {"bit": 0.2, "byte": 0.3, "run": 0.1, "put in": 0.1, "take out": 0.1, "blank": 0.15, "cut": 0.05}
"""What is done to a file, and how often."""
HEADER_BYTES = 600
"""Half of all damage falls here, where the structure is; the rest anywhere."""
LONGEST_BYTES = 40
FEW, MANY = 16, 1000


def mutant(content: bytes, seed: int) -> bytes:
    """A file with one to three random hurts: bits turned, bytes changed, put in, taken out or blanked, or its end cut.

    Args:
        content: of a good file.
        seed: the same one gives the same mutant.
    """
    random = np.random.default_rng(seed)
    for _ in range(random.integers(1, 4)):
        near = min(len(content), HEADER_BYTES) if random.random() < 0.5 else len(content)
        start, length = int(random.integers(near)), int(random.integers(1, LONGEST_BYTES))
        before, there, after = content[:start], content[start : start + length], content[start + length :]
        hurt = random.choice(list(HURTS), p=list(HURTS.values()))
        new = {
            "bit": bytes([there[0] ^ 1 << int(random.integers(8))]) + there[1:],
            "byte": random.bytes(1) + there[1:],
            "run": random.bytes(len(there)),
            "put in": random.bytes(length) + there,
            "take out": b"",
            "blank": bytes([int(random.choice([0, 255]))]) * len(there),
            "cut": b"",
        }[hurt]
        content = before + new + (b"" if hurt == "cut" else after)
        if not content:
            break
    return content


def damaged(whole: dict[str, bytes], name: str, seed: int) -> bytes:
    """A mutant of a good file; of an archive, every second time, a whole one around a mutant of one of its parts."""
    if not name.endswith(".zip") or seed % 8 < 4:
        return mutant(whole[name], seed)
    with zipfile.ZipFile(io.BytesIO(whole[name])) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    hurt = sorted(parts)[seed // 8 % len(parts)]
    parts[hurt] = mutant(parts[hurt], seed)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A good file of each format, used once here: the forks then find all libraries warm."""
    site = Site(tmp_path_factory.mktemp("whole"), "http://127.0.0.1:9")
    for name, make in FORMATS.items():
        make(site.root / name, site)
        use(site.root / name, site.root / "image.tif")
    return {name: (site.root / name).read_bytes() for name in FORMATS}


def use(path: Path, image: Path) -> list[str]:
    """Examine a mutant, and where it is taken for good, use it."""
    labels = examine(path, Limits()).labels
    if labels is not None:
        mask_on(labels, open_raster(image).grid)
        return list(labels.notes)
    raster = open_raster(path)
    read(raster, Window(0, 0, *raster.shape))
    return list(raster.notes)


def faults(whole: dict[str, bytes], folder: Path, seeds: Iterable[int]) -> list[tuple[int, str, End]]:
    """The mutants that ended in anything but an acceptance or a refusal: seed, file and how it ended."""
    (folder / "good.tif").write_bytes(whole["image.tif"])
    found = []
    for seed in seeds:
        name = list(whole)[seed % len(whole)]
        (folder / name).write_bytes(damaged(whole, name, seed))
        end = in_fork(lambda path=folder / name: use(path, folder / "good.tif"))
        if end.outcome not in ("accepted", "refused"):
            found.append((seed, name, end))
    return found


def test_no_damage_crashes_or_hangs_a_reader(whole: dict[str, bytes], tmp_path: Path) -> None:
    assert not faults(whole, tmp_path, range(FEW))
    assert {path.name for path in tmp_path.iterdir()} == {"good.tif", *FORMATS}


@pytest.mark.slow
def test_no_damage_crashes_or_hangs_a_reader_a_thousand_times(whole: dict[str, bytes], tmp_path: Path) -> None:
    assert not faults(whole, tmp_path, range(FEW, FEW + MANY))


def test_a_mutant_is_another_file_and_repeats(whole: dict[str, bytes]) -> None:
    for seed in range(FEW):
        content = whole[list(whole)[seed % len(whole)]]
        assert mutant(content, seed) == mutant(content, seed) != content
