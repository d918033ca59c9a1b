"""The commands that work on images, labels and models; flags come from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from minedetect.arguments import (
    Flat,
    Json,
    MineClass,
    Scenes,
    ScenesCsv,
    Years,
    model_path,
    scene_files,
    settings_of,
)
from minedetect.config import (
    CheckSettings,
    InferenceSettings,
    MaskSettings,
    Settings,
    TrainingSettings,
)
from minedetect.console import (
    DONE,
    IMPLAUSIBLE,
    MENDABLE,
    Face,
    check_lines,
    hectare_lines,
    mask_lines,
    predict_lines,
    score_lines,
    train_lines,
)
from minedetect.runs import MODEL, QUALITY, Run, open_run

app = App(
    name="minedetect",
    help="Where mining is, where it is new and where it has gone: two satellite images in, hectares out.",
    version_flags=["--version"],
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    help_on_error=False,
    result_action="return_value",
)


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
    job = Job(before, after, labels, years, labels_after, model_path(model) if model else None, tuple(mine_class or ()))
    target = open_run(out)
    with face.progress() as listen:
        summary = run_job(target, job, settings_of(settings), listen)
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
        summary = run_demo(target, size, settings_of(settings), listen)
    face.say(summary, hectare_lines(summary, target.root))
    return _verdict_code(summary)


@app.command
def check(
    image: Path,
    labels: Path,
    *,
    pair: Path | None = None,
    out: Path | None = None,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[CheckSettings | None, Flat] = None,
) -> int:
    """Check an image and its labels before any training.

    Args:
        image: GeoTIFF.
        labels: polygons or a mask GeoTIFF.
        pair: image of the second date, to be compared with the first.
        out: folder for mask, pictures and quality.json.
    """
    from minedetect.intake import admit
    from minedetect.tiff import Limits

    face, chosen = Face(json), settings_of(settings, computes=False)
    admit([p for p in (image, labels, pair) if p], Limits.of(chosen), chosen.layer)

    from minedetect.prepare import (  # after the files are known to be sound: these load slowly
        findings_json,
        write_scene,
    )
    from minedetect.scenes import SceneFiles, scene_to_check
    from minedetect.second import check_pair

    scene = scene_to_check(SceneFiles(image, labels, image.stem, tuple(mine_class or ())), chosen)
    second, both = check_pair(scene, pair, chosen) if pair else ((), None)
    content = findings_json(scene, both, second)
    if out:
        write_scene(scene, out, Run(out))
        Run(out).write_json(QUALITY, content)
    content["notes"] = list(scene.reading.notes)
    face.say(content, check_lines(content))
    return MENDABLE if content["verdict"] == "blocking" else DONE


@app.command
def mask(
    image: Path,
    labels: Path,
    *,
    out: Path,
    mine_class: MineClass = None,
    json: Json = False,
    settings: Annotated[MaskSettings | None, Flat] = None,
) -> int:
    """Draw mine outlines as a mask on exactly an image's grid.

    Args:
        image: GeoTIFF that gives the grid.
        labels: polygons or a class raster on the same grid.
        out: the mask GeoTIFF to write (0 background, 1 mine, 255 unknown).
    """
    from minedetect.prepare import write_mask
    from minedetect.scenes import SceneFiles

    face = Face(json)
    files = SceneFiles(image, labels, image.stem, tuple(mine_class or ()))
    content = write_mask(files, out, settings_of(settings, computes=False))
    face.say(content, mask_lines(content, out))
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
    from minedetect.learn import train_run

    face, target = Face(json), open_run(out)
    files = scene_files(scene, scenes, mine_class)
    with face.progress() as listen:
        content = train_run(target, files, settings_of(settings), listen).to_json()
    face.say(content, train_lines(content, target.path(MODEL)))
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
    files = scene_files(scene, scenes, mine_class)
    with face.progress() as listen:
        content = evaluate_model(
            load(model_path(model)),
            files,
            settings_of(settings),
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

    face, path = Face(json), model_path(model)
    output = Output(out, probability, {"model": path.name})
    with face.progress() as listen:
        found, notes = predict_image(
            image, load(path), settings_of(settings), output, lambda done, total: listen("predict", done, total)
        )
    content = found.to_json() | {"notes": list(notes)}
    face.say(content, predict_lines(content, out))
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
