"""The commands that work on images, labels and models; flags come from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from minedetect.arguments import (
    Flat,
    Json,
    MineClass,
    ShiftPx,
    Years,
    helped,
    model_path,
    settings_of,
)
from minedetect.config import (
    CheckSettings,
    ClassSettings,
    LimitSettings,
    MaskSettings,
    Settings,
)
from minedetect.console import (
    DONE,
    IMPLAUSIBLE,
    MENDABLE,
    Face,
    check_lines,
    hectare_lines,
    mask_lines,
)
from minedetect.runs import QUALITY, Run, open_run

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


def verdict_code(summary: dict[str, Any]) -> int:
    """The exit code a summary asks for."""
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

    face, chosen = Face(json), settings_of(settings)
    if helped(chosen):
        return DONE
    job = Job(before, after, labels, years, labels_after, model_path(model) if model else None, tuple(mine_class or ()))
    target = open_run(out)
    with face.progress() as listen:
        summary = run_job(target, job, chosen, listen)
    face.say(summary, hectare_lines(summary, target.root))
    return verdict_code(summary)


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

    face, target, chosen = Face(json), open_run(out), settings_of(settings)
    if helped(chosen):
        return DONE
    with face.progress() as listen:
        summary = run_demo(target, size, chosen, listen)
    face.say(summary, hectare_lines(summary, target.root))
    return verdict_code(summary)


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
def change(
    before: Path,
    after: Path,
    *,
    years: Years,
    out: str,
    probabilities: Annotated[tuple[Path, Path] | None, Parameter(negative="")] = None,
    shift_px: ShiftPx = None,
    json: Json = False,
    settings: Annotated[ClassSettings | None, Flat] = None,
) -> int:
    """Compare two class rasters (0, 1, 255): what is new, what is gone, in hectares.

    Args:
        before: class raster of the first date.
        after: class raster of the second date.
        out: folder for the change rasters and tables.
        probabilities: probability rasters of both dates: mean probability of each patch, doubtful and sieved change.
        shift_px: measured shift between the dates in pixels, up to which change around standing mines says nothing.
    """
    from minedetect.class_rasters import ClassPair
    from minedetect.pipeline import change_rasters

    face, target, chosen = Face(json), open_run(out), settings_of(settings, computes=False)
    summary = change_rasters(target, ClassPair(before, after, years, probabilities, shift_px), chosen)
    face.say(summary, [*hectare_lines(summary, target.root), *summary["notes"]])
    return DONE


@app.command
def verify(
    run: str,
    *,
    json: Json = False,
    settings: Annotated[LimitSettings | None, Flat] = None,
) -> int:
    """Is a finished run still what it was? Hashes its files and inputs again, and computes its hectares anew.

    Args:
        run: run folder; a bare name lies under MINEDETECT_HOME.
    """
    from minedetect.tiff import Limits
    from minedetect.verify import lines_of, verify_run

    face, target = Face(json), open_run(run)
    found = verify_run(target, Limits.of(settings or LimitSettings()))
    face.say(found.to_json(), lines_of(found, target))
    return DONE if found.intact else MENDABLE
