"""Every setting once: name, default, limits, help. Flags, forms, JSON and the README table come from here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Preset = Literal["auto", "cpu", "places", "full", "fast", "accurate"]


class SettingsGroup(BaseModel):
    """Frozen settings; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SeedSettings(SettingsGroup):
    seed: Annotated[int, Field(ge=0, le=2**31 - 1, description="Seed of every random choice.")] = 0


class ImageSettings(SettingsGroup):
    """How images are read."""

    bands: Annotated[
        str,
        Field(
            description="Band names in the file's order, such as B2,B3,B4,B8,B11, for an image without names; "
            "empty: the names in the file."
        ),
    ] = ""
    reflectance_offset: Annotated[
        float,
        Field(
            ge=-10_000,
            le=10_000,
            description="Digital number subtracted from integer reflectance before division by 10000 "
            "(1000 for Sentinel-2 products of baseline 04.00 and later).",
        ),
    ] = 0.0
    resample: Annotated[
        bool,
        Field(description="Resample an image whose pixel size differs by more than 20 % from the training's."),
    ] = False


class LimitSettings(SettingsGroup):
    """The largest image that is read at all."""

    max_side_px: Annotated[
        int, Field(ge=64, le=1_000_000, description="Most rows or columns of an image; larger ones are refused.")
    ] = 30_000
    max_image_gib: Annotated[
        float, Field(gt=0, le=4096, description="Most GiB (2^30 bytes) an image may take when unpacked.")
    ] = 4.0


class LabelSettings(SettingsGroup):
    """How labels are read."""

    layer: Annotated[
        str, Field(max_length=200, description="Which layer of a GeoPackage with several holds the mines.")
    ] = ""
    exclude_mine: Annotated[
        tuple[Annotated[int, Field(ge=1, le=1_000_000)], ...],
        Field(
            description="Leave out this outline (its number in `mask` and `check`); its ground counts as unknown. "
            "Repeat for several."
        ),
    ] = ()


class SharedLabelSettings(SettingsGroup):
    """What labels mean where scenes overlap."""

    share_labels: Annotated[
        bool,
        Field(
            description="Where scenes overlap and show the very same picture, what is drawn as mine on one of them "
            "counts on all; other dates of the same ground keep their own labels."
        ),
    ] = True


class TileSettings(SettingsGroup):
    """How training tiles are cut and split."""

    tile_px: Annotated[int, Field(ge=64, le=1024, multiple_of=16, description="Side of a training tile.")] = 256
    tile_overlap: Annotated[float, Field(ge=0.0, le=0.9, description="Overlap of neighbouring tiles, as a share.")] = (
        0.5
    )
    validation_share: Annotated[
        float, Field(ge=0.05, le=0.5, description="Share of the mine area kept for validation.")
    ] = 0.2
    max_gap_px: Annotated[
        int,
        Field(ge=0, le=1024, description="Widest gap kept between training and validation where there is room."),
    ] = 256
    test_share: Annotated[
        float,
        Field(
            ge=0.0,
            le=0.4,
            description="Share of the mine area kept apart as a third part that chooses nothing; 0: none.",
        ),
    ] = 0.0
    folds: Annotated[
        int,
        Field(
            ge=1,
            le=10,
            description="Networks to train on scenes of several places, each place judged by the one that did not "
            "learn there; the model averages them. 1: one network, validated on a share of the mine area.",
        ),
    ] = 1
    leave_mine_out: Annotated[
        int,
        Field(
            ge=0,
            le=100_000,
            description="Validate on the ground around this one mine (its number in `mask` and `check`); "
            "0: on a share of the mine area.",
        ),
    ] = 0


class ModelSettings(SettingsGroup):
    """The network."""

    width: Annotated[
        int, Field(ge=4, le=128, description="Channels of the first U-Net stage (64: 31.0 M parameters).")
    ] = 64
    coarsen: Annotated[
        int,
        Field(
            ge=1,
            le=4,
            description="Pixels along a side that the network takes as one: it sees so many times farther around, "
            "and is about the square of it quicker.",
        ),
    ] = 1
    init: Annotated[str, Field(description="A local model file whose weights seed the network.")] = ""


class DeviceSettings(SettingsGroup):
    """Where to compute."""

    device: Annotated[
        Literal["auto", "cpu", "cuda"], Field(description="auto: the GPU where there is one, else the processor.")
    ] = "auto"
    precision: Annotated[
        Literal["auto", "bf16", "float32"],
        Field(description="auto: bf16 where the hardware has it, else float32."),
    ] = "auto"


class OptimizerSettings(SettingsGroup):
    """How the network is trained."""

    epochs: Annotated[int, Field(ge=1, le=1000, description="Most passes over the training tiles.")] = 50
    batch: Annotated[int, Field(ge=1, le=256, description="Tiles per optimizer step, over all devices together.")] = 16
    devices: Annotated[
        int, Field(ge=1, le=64, description="Devices of this machine that train together, a process for each.")
    ] = 1
    tiles_per_epoch: Annotated[
        int,
        Field(ge=0, le=100_000, description="Tiles drawn per epoch; 0: each training tile once."),
    ] = 0
    learning_rate: Annotated[float, Field(gt=0, le=0.1, description="Adam's first learning rate.")] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=0.1, description="Adam's weight decay.")] = 1e-4
    checkpoint_s: Annotated[
        float, Field(ge=0, le=86_400, description="Least seconds between two checkpoints of a training.")
    ] = 30.0
    schedule: Annotated[
        Literal["plateau", "cosine"],
        Field(
            description="plateau: halve the rate when validation loss no longer falls; "
            "cosine: lower it smoothly to nothing over all epochs."
        ),
    ] = "plateau"
    plateau_epochs: Annotated[
        int, Field(ge=1, le=100, description="Epochs without a better validation loss before the rate is halved.")
    ] = 6
    early_stop_epochs: Annotated[
        int, Field(ge=1, le=1000, description="Epochs without a better validation IoU before training ends.")
    ] = 15
    choose_last: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="Share of the epochs, the last ones, among which the one with the best validation IoU is kept.",
        ),
    ] = 1.0
    background_weight: Annotated[
        float, Field(ge=0, le=100, description="Loss weight of background; 0: computed from the tiles.")
    ] = 0.0
    mine_weight: Annotated[
        float, Field(ge=0, le=100, description="Loss weight of mines; 0: computed from the tiles.")
    ] = 0.0
    dice_weight: Annotated[float, Field(ge=0, le=10, description="Weight of the Dice term in the loss.")] = 0.5
    clip_norm: Annotated[float, Field(gt=0, le=100, description="Largest gradient norm.")] = 1.0
    averaging: Annotated[
        float,
        Field(
            ge=0,
            le=0.9999,
            description="Decay per step of the running average of the weights that is validated and kept; 0: none.",
        ),
    ] = 0.95


class AugmentationSettings(SettingsGroup):
    """How training tiles are changed at random."""

    flips: Annotated[bool, Field(description="Flip and quarter-turn training tiles at random.")] = True
    brightness_jitter: Annotated[
        float, Field(ge=0, le=0.5, description="Random gain common to all bands, as a share.")
    ] = 0.15
    band_jitter: Annotated[float, Field(ge=0, le=0.5, description="Random gain of each band, as a share.")] = 0.1
    offset_jitter: Annotated[
        float,
        Field(
            ge=0, le=0.5, description="Random offset of all bands, as a share of their span; half of it of each band."
        ),
    ] = 0.0
    gamma_jitter: Annotated[
        float, Field(ge=0, le=1, description="Random exponent of the brightness: e to the power of up to so much.")
    ] = 0.0
    zoom: Annotated[
        float, Field(ge=0, le=1, description="Tiles are drawn larger or smaller at random, by up to so much.")
    ] = 0.0


class ThresholdSettings(SettingsGroup):
    """What a probability must reach to be called mine."""

    threshold: Annotated[
        float,
        Field(ge=0.0, lt=1.0, description="Probability above which a pixel is mine; 0: the one stored in the model."),
    ] = 0.0


class PredictSettings(ThresholdSettings):
    """How a scene is predicted."""

    window_px: Annotated[
        int,
        Field(
            ge=64,
            le=8192,
            description="Side of a prediction window, to which the network's field of view is added on each side; "
            "memory grows with its square.",
        ),
    ] = 1536
    eightfold: Annotated[bool, Field(description="Average over the eight flips and turns (eight times the work).")] = (
        False
    )


class ChangeSettings(SettingsGroup):
    """How class rasters become hectares."""

    min_patch_ha: Annotated[
        float, Field(ge=0, le=100, description="Smallest patch kept in a prediction, 8-connected.")
    ] = 0.5


class KindSettings(SettingsGroup):
    """Which change counts."""

    min_probability_change: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Change is doubtful where the dates' calibrated probabilities differ by less; "
            "from 0.5 on change is more likely than none.",
        ),
    ] = 0.5


class GateSettings(SettingsGroup):
    """When a figure may be called a result."""

    gate_low: Annotated[
        float, Field(gt=0, le=1, description="Least plausible ratio of predicted to labelled hectares.")
    ] = 0.5
    gate_high: Annotated[
        float, Field(ge=1, le=100, description="Largest plausible ratio of predicted to labelled hectares.")
    ] = 2.0
    gate_iou: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Least plausible overlap (IoU) of predicted and labelled mines: below it hectares that agree "
            "agree by luck.",
        ),
    ] = 0.25
    gate_one_class: Annotated[
        float, Field(gt=0, le=1, description="Largest plausible share of a date's observed ground that is called mine.")
    ] = 0.9
    gate_edge: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Largest plausible share of the scene's outermost pixels that is called mine, where far fewer "
            "are just inside.",
        ),
    ] = 0.05
    gate_edge_excess: Annotated[
        float,
        Field(ge=1, le=1000, description="How many times the share just inside that may be before it is an artefact."),
    ] = 3.0
    review_iou: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Overlap (IoU) of predicted and labelled mines below which a person must look.",
        ),
    ] = 0.5
    review_growth: Annotated[
        float,
        Field(ge=1, le=100, description="Growth between the dates, or its inverse, beyond which a person must look."),
    ] = 3.0
    review_shift_px: Annotated[
        float, Field(gt=0, le=100, description="Shift between the dates, in pixels, beyond which a person must look.")
    ] = 1.0
    review_matching: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            description="Change of the second date's mine area by --match-radiometry, as a share, "
            "beyond which a person must look.",
        ),
    ] = 0.1
    review_drift: Annotated[
        float,
        Field(
            gt=0,
            le=10,
            description="Drift of a band on invariant pixels, as a share of its value span, "
            "beyond which a person must look.",
        ),
    ] = 0.3
    review_values: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of a band's values far outside the training's limits beyond which a person must look.",
        ),
    ] = 0.05
    review_unobserved: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of the labelled hectares hidden on either date beyond which a person must look.",
        ),
    ] = 0.5


class SensitivitySettings(SettingsGroup):
    """How the ranges beside hectares are made."""

    sensitivity_threshold: Annotated[
        float,
        Field(
            ge=0,
            le=0.5,
            description="How far the threshold is moved down and up for the sensitivity range of hectares.",
        ),
    ] = 0.1


class PairSettings(SettingsGroup):
    """What the second of two dates needs."""

    reflectance_offset_after: Annotated[
        float,
        Field(
            ge=-10_000,
            le=10_000,
            description="The same for the second date: the dates of one pair often come from different baselines.",
        ),
    ] = 0.0
    correct_shift: Annotated[
        bool,
        Field(description="Move the second date by the measured shift, where that is above 0.3 px and certain."),
    ] = False
    match_radiometry: Annotated[
        bool,
        Field(
            description="Match the second date's bands to the first one's on invariant pixels (IR-MAD); "
            "its effect in hectares is reported."
        ),
    ] = False
    acquired: Annotated[
        str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="Day the first image was taken, as 2016-08-24.")
    ] = ""
    acquired_after: Annotated[
        str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$", description="Day the second image was taken.")
    ] = ""


class SuspectSettings(SettingsGroup):
    """When a place without a label is told as a mine that the labels may miss."""

    suspect_probability: Annotated[
        float,
        Field(ge=0.5, le=1, description="Least mean probability of a place outside all outlines that is told."),
    ] = 0.9
    suspect_min_ha: Annotated[
        float, Field(ge=0, le=10_000, description="Smallest such place, twice the smallest patch by default.")
    ] = 1.0


class AboutSettings(SettingsGroup):
    """What reports say."""

    mine_definition: Annotated[
        str, Field(max_length=500, description="What counts as mine in the labels; every report prints it.")
    ] = "Open pits, dumps, tailings and ponds inside the labelled outlines."


class SceneSettings(ImageSettings, LimitSettings, LabelSettings, TileSettings, AboutSettings):
    """What reading and checking a labelled scene uses."""


class MaskSettings(LimitSettings, LabelSettings):
    """What `mask` uses."""


class TrainingSettings(
    SceneSettings,
    SharedLabelSettings,
    ModelSettings,
    OptimizerSettings,
    AugmentationSettings,
    DeviceSettings,
    PredictSettings,
    SeedSettings,
):
    """What `train` uses."""

    preset: Annotated[
        Preset,
        Field(
            description="Defaults for a machine or a purpose; auto: full with a GPU; without one places where there "
            "are 8 scenes or more, else cpu."
        ),
    ] = "auto"


class InferenceSettings(
    ImageSettings,
    LimitSettings,
    LabelSettings,
    SharedLabelSettings,
    DeviceSettings,
    PredictSettings,
    ChangeSettings,
):
    """What `predict` and `evaluate` use."""


class CheckSettings(SceneSettings, PairSettings):
    """What `check` uses."""


class ClassSettings(LimitSettings, ThresholdSettings, KindSettings):
    """What `change` uses."""


class Settings(
    TrainingSettings, InferenceSettings, KindSettings, PairSettings, GateSettings, SensitivitySettings, SuspectSettings
):
    """What a whole run uses."""


class SampleSettings(SeedSettings):
    """What `sample` uses."""

    n: Annotated[int, Field(ge=8, le=10_000, description="Points of a sample altogether.")] = 300
    min_per_stratum: Annotated[
        int,
        Field(
            ge=2,
            le=1000,
            description="Least points of each stratum of a sample (new, gone, stable mine, stable other), where it has "
            "so many pixels.",
        ),
    ] = 50
    target_error: Annotated[
        float,
        Field(
            gt=0.0,
            le=0.2,
            description="Standard error of overall accuracy for which `sample` tells how many points would be needed.",
        ),
    ] = 0.01
