"""Every setting once: name, default, limits, help. Flags, forms, JSON and the README table come from here."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Preset = Literal["auto", "cpu", "full", "fast", "accurate"]


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
    batch: Annotated[int, Field(ge=1, le=256, description="Tiles per optimizer step.")] = 16
    tiles_per_epoch: Annotated[
        int,
        Field(ge=0, le=100_000, description="Tiles drawn per epoch; 0: each training tile once."),
    ] = 0
    learning_rate: Annotated[float, Field(gt=0, le=0.1, description="Adam's first learning rate.")] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, le=0.1, description="Adam's weight decay.")] = 1e-4
    plateau_epochs: Annotated[
        int, Field(ge=1, le=100, description="Epochs without a better validation loss before the rate is halved.")
    ] = 6
    early_stop_epochs: Annotated[
        int, Field(ge=1, le=1000, description="Epochs without a better validation IoU before training ends.")
    ] = 15
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
    flips: Annotated[bool, Field(description="Flip and quarter-turn training tiles at random.")] = True
    brightness_jitter: Annotated[
        float, Field(ge=0, le=0.5, description="Random gain common to all bands, as a share.")
    ] = 0.15
    band_jitter: Annotated[float, Field(ge=0, le=0.5, description="Random gain of each band, as a share.")] = 0.1


class PredictSettings(SettingsGroup):
    """How a scene is predicted."""

    window_px: Annotated[int, Field(ge=64, le=4096, multiple_of=16, description="Side of a prediction window.")] = 512
    window_overlap: Annotated[
        float, Field(ge=0.0, le=0.75, description="Overlap of neighbouring prediction windows, as a share.")
    ] = 0.25
    eightfold: Annotated[bool, Field(description="Average over the eight flips and turns (eight times the work).")] = (
        False
    )
    threshold: Annotated[
        float,
        Field(ge=0.0, lt=1.0, description="Probability above which a pixel is mine; 0: the one stored in the model."),
    ] = 0.0


class ChangeSettings(SettingsGroup):
    """How class rasters become hectares."""

    min_patch_ha: Annotated[
        float, Field(ge=0, le=100, description="Smallest patch kept in a prediction, 8-connected.")
    ] = 0.5


class GateSettings(SettingsGroup):
    """When a figure may be called a result."""

    gate_low: Annotated[
        float, Field(gt=0, le=1, description="Least plausible ratio of predicted to labelled hectares.")
    ] = 0.5
    gate_high: Annotated[
        float, Field(ge=1, le=100, description="Largest plausible ratio of predicted to labelled hectares.")
    ] = 2.0
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


class AboutSettings(SettingsGroup):
    """What reports say."""

    mine_definition: Annotated[
        str, Field(max_length=500, description="What counts as mine in the labels; every report prints it.")
    ] = "Open pits, dumps, tailings and ponds inside the labelled outlines."


class SceneSettings(ImageSettings, LimitSettings, LabelSettings, TileSettings, AboutSettings):
    """What reading and checking a labelled scene uses."""


class MaskSettings(LimitSettings, LabelSettings):
    """What `mask` uses."""


class TrainingSettings(SceneSettings, ModelSettings, OptimizerSettings, DeviceSettings, PredictSettings, SeedSettings):
    """What `train` uses."""

    preset: Annotated[
        Preset, Field(description="Defaults for a machine or a purpose; auto: cpu without a GPU, else full.")
    ] = "auto"


class InferenceSettings(ImageSettings, LimitSettings, LabelSettings, DeviceSettings, PredictSettings, ChangeSettings):
    """What `predict` and `evaluate` use."""


class CheckSettings(SceneSettings, PairSettings):
    """What `check` uses."""


class Settings(TrainingSettings, InferenceSettings, PairSettings, GateSettings):
    """What a whole run uses."""
