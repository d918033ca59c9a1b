"""The command line: flags from the settings, a human summary or one JSON object, and honest exit codes."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import App, Parameter
from pydantic import BaseModel, ValidationError
from rich.console import Console

from minedetect.config import (
    ImageSettings,
    InferenceSettings,
    Settings,
    TileSettings,
    TrainingSettings,
    in_words,
    settings_from,
)
from minedetect.console import DONE, IMPLAUSIBLE, INTERRUPTED, MENDABLE, Face, complain, hectare_lines, score_lines
from minedetect.errors import Cancelled, MinedetectError, SettingError
from minedetect.runs import MODEL, Run, open_run

app = App(
    name="minedetect",
    help="Where mining is, where it is new and where it has gone: two satellite images in, hectares out.",
    version_flags=["--version"],
    exit_on_error=False,
    print_error=False,
    help_on_error=False,
    result_action="return_value",
)


class CheckSettings(ImageSettings, TileSettings):
    """What `check` uses."""


Json = Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON object; logs go to stderr.")]
Scenes = Annotated[
    list[tuple[Path, Path]] | None,
    Parameter(name="--scene", negative="", help="Image and its labels; repeat for several scenes."),
]
ScenesCsv = Annotated[
    Path | None, Parameter(name="--scenes", help="CSV with the columns image,labels; paths relative to it.")
]
MineClass = Annotated[
    list[int] | None,
    Parameter(
        name="--mine-class", negative="", consume_multiple=True, help="Which values of a class raster are mines."
    ),
]
Years = Annotated[tuple[str, str], Parameter(name="--years", negative="", help="Labels of the two dates.")]
Flat = Parameter(name="*")


def _settings(given: BaseModel | None) -> Settings:
    """The user's flags over the preset over the defaults."""
    values = {} if given is None else given.model_dump(include=given.model_fields_set)
    return settings_from(values, gpu=_gpu_wanted(values))


def _gpu_wanted(values: dict[str, Any]) -> bool:
    from minedetect.model import gpu_present

    return values.get("device", "auto") != "cpu" and gpu_present()


def _scene_files(scenes: list[tuple[Path, Path]] | None, table: Path | None) -> list[Any]:
    from minedetect.prepare import named_scenes, read_scenes_csv

    if bool(scenes) == bool(table):
        raise SettingError("Give scenes either as --scene IMAGE LABELS (repeated) or as --scenes scenes.csv.")
    return read_scenes_csv(table) if table else named_scenes(scenes or [])


def _model_path(given: Path) -> Path:
    """A .pt file, or the model of a run folder or run name."""
    if given.is_file():
        return given
    run = given if given.is_dir() else open_run(str(given)).root
    return run / MODEL if run.is_dir() else given


def _verdict_code(summary: dict[str, Any]) -> int:
    return IMPLAUSIBLE if summary["verdict"] == "implausible" else DONE


@app.command
def run(
    before: Path,
    after: Path,
    labels: Path,
    *,
    years: Years,
    out: str,
    model: Path | None = None,
    labels_after: Path | None = None,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[Settings | None, Flat] = None,
) -> int:
    """Everything: from two images and mine outlines to hectares of change.

    Args:
        before: image of the first date.
        after: image of the second date.
        labels: mine outlines or mask of the first date.
        out: run folder; a bare name lies under MINEDETECT_HOME.
        model: apply this trained model (.pt or run folder) instead of training.
        labels_after: labels of the second date, to score it.
    """
    from minedetect.pipeline import Job, run_job

    face = Face(json)
    job = Job(
        before, after, labels, years, labels_after, _model_path(model) if model else None, tuple(mine_class or ())
    )
    target = open_run(out)
    with face.progress() as listen:
        summary = run_job(target, job, _settings(settings), listen)
    face.say(summary, hectare_lines(summary, target.root))
    return _verdict_code(summary)


@app.command
def demo(
    out: str,
    *,
    size: tuple[int, int] = (1024, 768),
    json: Json = False,
    settings: Annotated[Settings | None, Flat] = None,
) -> int:
    """The whole job on the built-in district, whose true hectares are known; needs no data and no network.

    Args:
        out: run folder; a bare name lies under MINEDETECT_HOME.
        size: rows and columns, up to 5567 x 3230.
    """
    from minedetect.demo import run_demo

    face, target = Face(json), open_run(out)
    with face.progress() as listen:
        summary = run_demo(target, size, _settings(settings), listen)
    face.say(summary, hectare_lines(summary, target.root))
    return _verdict_code(summary)


@app.command
def check(
    image: Path,
    labels: Path,
    *,
    out: Path | None = None,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[CheckSettings | None, Flat] = None,
) -> int:
    """Check an image and its labels before any training.

    Args:
        image: GeoTIFF.
        labels: polygons or a mask GeoTIFF.
        out: folder for mask, pictures and quality.json.
    """
    from minedetect.bands import training_bands
    from minedetect.prepare import SceneFiles, load_scene, write_scene
    from minedetect.raster import open_raster

    face, chosen = Face(json), _settings(settings)
    wanted = training_bands(open_raster(image), chosen.bands)
    scene = load_scene(SceneFiles(image, labels, image.stem), wanted, chosen, mine_class or ())
    if out:
        write_scene(scene, out, Run(out))
    found = scene.quality
    lines = [f"{c.verdict:9} {c.name}: {c.message}" for c in found.checks]
    lines += [f"note      {note}" for note in scene.reading.notes]
    face.say(found.to_json() | {"notes": list(scene.reading.notes)}, [f"Verdict: {found.verdict}", *lines])
    return MENDABLE if found.blocking else DONE


@app.command
def mask(
    image: Path,
    labels: Path,
    *,
    out: Path,
    mine_class: MineClass = None,
    json: Json = False,
) -> int:
    """Draw mine outlines as a mask on exactly an image's grid.

    Args:
        image: GeoTIFF that gives the grid.
        labels: polygons or a class raster on the same grid.
        out: the mask GeoTIFF to write (0 background, 1 mine, 255 unknown).
    """
    from minedetect.prepare import write_mask

    face = Face(json)
    content = write_mask(image, labels, out, mine_class or ())
    lines = [f"{content['mine_ha']:,.1f} ha mine, {content['share']:.2%} of the scene: {out}"]
    lines += [
        f"  {p['title']}: {p['mask_ha']:,.1f} ha on the mask, {p['hectares']:,.1f} ha drawn"
        for p in content["polygons"]
    ]
    face.say(content, lines)
    return DONE


@app.command
def train(
    *,
    out: str,
    scene: Scenes = None,
    scenes: ScenesCsv = None,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[TrainingSettings | None, Flat] = None,
) -> int:
    """Train a model on one or more labelled scenes.

    Args:
        out: run folder; a bare name lies under MINEDETECT_HOME.
    """
    from minedetect.pipeline import train_run

    face, target = Face(json), open_run(out)
    files = _scene_files(scene, scenes)
    with face.progress() as listen:
        content = train_run(target, files, _settings(settings), mine_class or (), listen).to_json()
    face.say(
        content,
        [
            f"Mine IoU {content['iou']:.3f}, Dice {content['dice']:.3f} on validation ground "
            f"(best single index there: {content['baseline_iou']:.3f}).",
            f"{content['epochs']} epochs in {content['seconds']:.0f} s on {content['device']}, {content['precision']}, "
            f"{content['patches_per_s']:.1f} patches/s; {content['shared_pixels']} pixels shared with validation.",
            f"Model: {target.path(MODEL)}",
        ],
    )
    return DONE


@app.command
def evaluate(
    model: Path,
    *,
    scene: Scenes = None,
    scenes: ScenesCsv = None,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[InferenceSettings | None, Flat] = None,
) -> int:
    """Score a model on labelled scenes, pooled over all their pixels.

    Args:
        model: .pt file or run folder.
    """
    from minedetect.assess import evaluate_model
    from minedetect.model import load

    face = Face(json)
    files = _scene_files(scene, scenes)
    with face.progress() as listen:
        content = evaluate_model(
            load(_model_path(model)),
            files,
            _settings(settings),
            mine_class or (),
            lambda done, total: listen("evaluate", done, total),
        )
    face.say(content, score_lines(content))
    return DONE


@app.command
def predict(
    image: Path,
    *,
    model: Path,
    out: Path,
    probability: Path | None = None,
    json: Json = False,
    settings: Annotated[InferenceSettings | None, Flat] = None,
) -> int:
    """Predict mines on one image with a trained model.

    Args:
        image: GeoTIFF.
        model: .pt file or run folder.
        out: class raster to write (0, 1, 255 without data).
        probability: probability raster to write as well.
    """
    from minedetect.model import load
    from minedetect.pipeline import predict_image
    from minedetect.predict import Output

    face, path = Face(json), _model_path(model)
    output = Output(out, probability, {"model": path.name})
    with face.progress() as listen:
        found, notes = predict_image(
            image, load(path), _settings(settings), output, lambda done, total: listen("predict", done, total)
        )
    content = {
        "mine_ha": round(found.mine_ha, 2),
        "seconds": round(found.seconds, 2),
        "mpx_per_s": round(found.mpx_per_s, 3),
        "peak_rss_mb": round(found.peak_rss_mb),
        "notes": list(notes),
    }
    line = f"{found.mine_ha:,.1f} ha mine in {found.seconds:.1f} s ({found.mpx_per_s:.2f} Mpx/s): {out}"
    face.say(content, [line, *notes])
    return DONE


@app.command
def change(
    before: Path,
    after: Path,
    *,
    years: Years,
    out: str,
    probabilities: Annotated[tuple[Path, Path] | None, Parameter(negative="")] = None,
    json: Json = False,
) -> int:
    """Compare two class rasters (0, 1, 255): what is new, what is gone, in hectares.

    Args:
        before: class raster of the first date.
        after: class raster of the second date.
        out: folder for the change rasters and tables.
        probabilities: probability rasters of both dates, for the mean probability of each patch.
    """
    from minedetect.pipeline import change_rasters

    face, target = Face(json), open_run(out)
    summary = change_rasters(target, before, after, years, probabilities)
    face.say(summary, hectare_lines(summary, target.root))
    return DONE


@app.command
def doctor(*, json: Json = False, settings: Annotated[TrainingSettings | None, Flat] = None) -> int:
    """Show device, precision, memory, disk, versions and settings, and what to do about each."""
    from minedetect.doctor import examine

    face = Face(json)
    content = examine(_settings(settings))
    face.say(content, [f"{name:22} {value}" for name, value in content["facts"].items()] + content["advice"])
    return DONE


@app.command(name="app")
def serve(*, port: int = 8501) -> int:
    """Start the web app on this machine.

    Args:
        port: of the address that is printed.
    """
    from minedetect import jobs
    from minedetect.ui.server import ROOT, command

    jobs.start_demo_if_empty()
    return subprocess.run(command(port), cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 bug, 2 something to mend, 3 implausible, 130 interrupted."""
    logging.captureWarnings(capture=True)
    try:
        code = app(list(sys.argv[1:] if arguments is None else arguments))
    except MinedetectError as error:
        code = complain(str(error))
    except cyclopts.CycloptsError as error:
        cause = error.__cause__
        code = complain(in_words(cause) if isinstance(cause, ValidationError) else f"{error} See --help.")
    except (KeyboardInterrupt, Cancelled):
        Console(stderr=True).print("Interrupted. What was finished is kept.")
        code = INTERRUPTED
    sys.stdout.flush()
    sys.exit(code if isinstance(code, int) else DONE)
