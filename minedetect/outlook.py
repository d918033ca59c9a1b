"""How the built-in district would be split, before any file of it is written."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from minedetect.config import Settings
from minedetect.labels import mask_on, open_labels, outline_zones
from minedetect.split import make_split
from minedetect.synthetic import DEFAULT_SIZE_PX, make_district


def district_split(settings: Settings) -> dict[str, Any]:
    """What `split.json` of the demo will hold, but for the few pixels of it that are not observed.

    Args:
        settings: of tiles, split and seed.

    Raises:
        SplitError: the district leaves no way to keep training, validation and test apart.
    """
    district = make_district(DEFAULT_SIZE_PX, settings.seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mines.geojson"
        path.write_text(json.dumps(district.outlines), encoding="utf-8")
        labels = open_labels(path)
    zones = [outline_zones(labels, district.grid)]
    mask = mask_on(labels, district.grid)
    return make_split([district.grid], [mask], settings, settings.seed, zones).to_json(["district"])
