"""Where a run's figures come from: what it read and with what, and a seal over every file it wrote."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar

import pyproj
import rasterio
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from minedetect.errors import RunError
from minedetect.files import sha256_of, sha256_once, stamp
from minedetect.runs import ARTIFACTS, CONFIG, MANIFEST, MODEL, Run

PACKAGES = (
    *("minedetect", "torch", "numpy", "scipy", "rasterio", "odc-geo", "pyproj", "shapely", "geopandas", "pyogrio"),
)
LARGEST_BYTES = 16 * 2**20
"""A manifest of a thousand scenes has a hundredth of this."""
GIVEN_MODEL, SEED_MODEL = "model", "init"
"""Roles of a model that is applied, and of one whose weights training starts from."""
LEARNING = ("run", "train")
"""Commands that make a model, unless one is given."""


def _inside(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or "\\" in name or "\0" in name or ".." in path.parts or name != path.as_posix():
        raise ValueError(f"{name!a} is no place inside the run folder")
    return name


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=5000)]
Place = Annotated[str, Field(min_length=1, max_length=5000), AfterValidator(_inside)]


class Written(BaseModel):
    """A file as it was: size in bytes and SHA-256."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: Annotated[int, Field(ge=0)]
    sha256: Digest


class Given(Written):
    """A file that a run read.

    Args:
        path: where it lay, absolute.
        name: its name.
        inside: where it lies in the run folder, as the built-in district's images do; else None.
    """

    path: Text
    name: Text
    inside: Place | None = None

    def place(self, root: Path) -> Path:
        """Where to look for it now: in the run folder, wherever that lies, or where it lay."""
        own = root / self.inside if self.inside else None
        return own if own and own.is_file() else Path(self.path)

    def is_same(self, root: Path) -> bool:
        """Whether the file is there and is what it was."""
        path = self.place(root)
        return path.is_file() and path.stat().st_size == self.bytes and sha256_once(path) == self.sha256


class Record(BaseModel):
    """What a run began with; the content of `config.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: Text
    created: Text
    request: dict[str, JsonValue]
    settings: dict[str, JsonValue]
    settings_sha256: Digest
    inputs: dict[Text, Given]
    versions: dict[Text, Text]


class Manifest(Record):
    """What a run ended with; the content of `manifest.json`.

    Args:
        format: of this file.
        sealed: when it was written.
        model_sha256: of the model file that was applied or made; None where there is none.
        notes: sentences on inputs that changed while the run went on.
        artifacts: every file that is vouched for, by its place in the run folder.
    """

    format: Literal[1]
    sealed: Text
    model_sha256: Digest | None
    notes: list[Text]
    artifacts: dict[Place, Written]


def look_at(inputs: Mapping[str, Path]) -> dict[str, Given]:
    """Size and SHA-256 of what a run reads, by role; called when it is read, before the long work.

    Raises:
        RunError: a file is gone.
    """
    found = {}
    for role, path in inputs.items():
        try:
            found[role] = Given(
                bytes=path.stat().st_size, sha256=sha256_once(path), path=str(path.absolute()), name=path.name
            )
        except OSError as error:
            raise RunError(f"{path} cannot be read any more: {error.strerror}. Check the path.") from error
    return found


def begin(run: Run, request: Mapping[str, Any], settings: Mapping[str, Any], inputs: Mapping[str, Given]) -> None:
    """Write `config.json`: what was asked, every setting, the inputs with their hashes, the versions."""
    root = run.root.absolute()
    placed = {
        role: given.model_copy(update={"inside": Path(given.path).relative_to(root).as_posix()})
        if Path(given.path).is_relative_to(root)
        else given
        for role, given in inputs.items()
    }
    record = Record(
        run_id=run.name,
        created=now(),
        request=dict(request),
        settings=dict(settings),
        settings_sha256=canonical_sha256(settings),
        inputs=placed,
        versions=versions(),
    )
    run.write_json(CONFIG, record.model_dump())


def recorded(run: Run) -> Record:
    """What a run began with.

    Raises:
        RunError: nobody wrote it down, or `config.json` is damaged.
    """
    return _parsed(run, CONFIG, Record)


def sealed(run: Run) -> Manifest:
    """A run's manifest.

    Raises:
        RunError: there is none, or it is damaged or names places outside the run folder.
    """
    return _parsed(run, MANIFEST, Manifest)


Content = TypeVar("Content", bound=Record)


def _parsed(run: Run, name: str, kind: type[Content]) -> Content:
    path = run.path(name)
    if path.is_file() and path.stat().st_size > LARGEST_BYTES:
        raise RunError(f"{path} has {path.stat().st_size / 1e6:,.0f} MB: it is not what minedetect writes.")
    try:
        return kind.model_validate(run.read_json(name))
    except (ValidationError, RecursionError) as error:
        told = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": "nested too deeply"}
        where = ".".join(str(part) for part in told["loc"][:3])
        raise RunError(f"{path} is damaged or not what minedetect writes: {where!a}: {told['msg']}.") from error


def provenance(run: Run) -> dict[str, Any]:
    """The `provenance` object of `summary.json`."""
    record = recorded(run)
    return told_of(record, model_sha256(run, record))


def told_of(record: Record, model: str | None) -> dict[str, Any]:
    """Run id, inputs, model, settings and versions of a record, in short."""
    return {
        "run_id": record.run_id,
        "inputs": {role: {"name": given.name, "sha256": given.sha256} for role, given in record.inputs.items()},
        "model_sha256": model,
        "settings_sha256": record.settings_sha256,
        "versions": record.versions,
    }


def model_sha256(run: Run, record: Record) -> str | None:
    """SHA-256 of the model file a run applied or made; None where it did neither."""
    if GIVEN_MODEL in record.inputs:
        return record.inputs[GIVEN_MODEL].sha256
    learns = record.request.get("command") in LEARNING
    return sha256_once(run.path(MODEL)) if learns and run.has(MODEL) else None


def tags(run: Run, *roles: str) -> dict[str, str]:
    """Metadata for a raster of a run: run id, settings, model, and the inputs of some roles.

    A folder that no run began, such as that of `check --out`, gives its name alone.
    """
    if not run.has(CONFIG):
        return {"run_id": run.name}
    record = recorded(run)
    model = model_sha256(run, record)
    return {
        "run_id": record.run_id,
        "settings_sha256": record.settings_sha256,
        **({"model_sha256": model} if model else {}),
        **{f"{role}_sha256": record.inputs[role].sha256 for role in roles if role in record.inputs},
    }


def changed_inputs(run: Run) -> tuple[str, ...]:
    """Sentences on inputs that are not what they were when the run began."""
    return tuple(
        f"{given.name} ({role}) was changed or removed while the run went on: figures may rest on either state of it. "
        "Run again."
        for role, given in recorded(run).inputs.items()
        if not given.is_same(run.root)
    )


def seal(run: Run) -> None:
    """Write `manifest.json`, last of all: every artifact with its size and SHA-256, and what they rest on."""
    record = recorded(run)
    model = model_sha256(run, record)
    places = {path for pattern in ARTIFACTS for path in run.root.glob(pattern) if path.is_file()}
    if run.has(MODEL) and sha256_once(run.path(MODEL)) != model:
        places.discard(run.path(MODEL))  # left by an earlier attempt
    named = tags(run)
    for path in places:
        if path.suffix == ".png":
            stamp(path, named)
    manifest = Manifest(
        **record.model_dump(),
        format=1,
        sealed=now(),
        model_sha256=model,
        notes=list(changed_inputs(run)),
        artifacts={
            path.relative_to(run.root).as_posix(): Written(bytes=path.stat().st_size, sha256=sha256_of(path))
            for path in sorted(places)
        },
    )
    run.write_json(MANIFEST, manifest.model_dump())


def vouch_for(run: Run, *names: str) -> None:
    """Put files written after the seal into a run's manifest, and take out those of them that are gone.

    What it says of the others stays as it was.

    A run that was never sealed is left so.
    """
    if not run.has(MANIFEST):
        return
    manifest = sealed(run)
    found = {n: Written(bytes=run.path(n).stat().st_size, sha256=sha256_of(run.path(n))) for n in names if run.has(n)}
    artifacts = {n: written for n, written in manifest.artifacts.items() if n not in names} | found
    run.write_json(MANIFEST, manifest.model_copy(update={"artifacts": artifacts}).model_dump())


def canonical_sha256(content: Mapping[str, Any]) -> str:
    """SHA-256 of JSON values, independent of order and spacing: keys sorted, no spaces, UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def now() -> str:
    """This moment in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """Versions of all that decides a figure."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "GDAL": rasterio.__gdal_version__,
        "PROJ": pyproj.proj_version_str,
        "PROJ of GDAL": rasterio.__proj_version__,
        "platform": platform.platform(),
    }
