"""Training end to end against a bare loop of the same step on one resident batch, interleaved in one process.

    python benchmarks/train.py [WIDTH ...] [--precision bf16|float32] [--device cpu|cuda] [--reference]

The first rate is that of the epochs as `minedetect train` runs them: tiles cut and augmented, weights averaged,
checkpoints written. Validation is told apart. The bare loop repeats forward, loss, backward, clipping and
optimizer on one batch, after each epoch, for as many tiles. The ratio is what to compare between machines.
`--reference` times the reference recipe: 300 tiles of 256 px, 50 epochs, width 64, batch 16.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from minedetect.bands import BandContract
from minedetect.config import Settings
from minedetect.curves import Epoch
from minedetect.devices import pick_device
from minedetect.grid import Window, plan_windows
from minedetect.keeper import Fold, Keeper
from minedetect.loss import Loss
from minedetect.model import UNet, on_device
from minedetect.presets import settings_from
from minedetect.processes import make_fabric
from minedetect.runs import Run
from minedetect.synthetic import BANDS, make_district
from minedetect.tiles import TrainingScene, cut, training_places, training_scene
from minedetect.train import Trained, Watch, fit

CONTRACT = BandContract(BANDS, "reflectance", (0.0,) * 5, (0.4,) * 5, 10.0)
VALIDATION_PX = 256


def scene(tiles: int) -> TrainingScene:
    """A district with some number of training tiles of 256 px and a validation block beside them."""
    made = make_district((1536, 1280 + VALIDATION_PX))
    places = plan_windows((1536, 1280), 256, 64)[:: max(1, 357 // tiles)][:tiles]
    block = Window(0, 1280, 1024, VALIDATION_PX)
    mask = made.truth_before.astype("uint8")
    return training_scene(lambda w: made.before[:, w.rows, w.cols], mask, CONTRACT, (places, [block]))


class BareLoop:
    """The same step, again and again, on one batch that lies on the device."""

    def __init__(self, one: TrainingScene, settings: Settings) -> None:
        self.fabric, _ = make_fabric(settings)
        net = on_device(UNet(len(BANDS), settings.width, settings.coarsen), self.fabric.device)
        adam = torch.optim.Adam(net.parameters(), lr=1e-6)
        self.model, self.optimizer = self.fabric.setup(net, adam)
        self.loss_of = Loss(torch.tensor([0.5, 1.5]).to(self.fabric.device), settings.dice_weight)
        places = training_places([one])[: settings.batch]
        self.batch = cut([one], places, settings.tile_px).to(self.fabric.device)
        self.pixels = self.batch.pixels.contiguous(memory_format=torch.channels_last)

    def patches_per_s(self, tiles: int) -> float:
        """Run for some number of tiles."""
        steps = max(1, tiles // len(self.pixels))
        self._wait()
        started = time.perf_counter()
        for _ in range(steps):
            self.fabric.backward(self.loss_of(self.model(self.pixels), self.batch.labels))
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=1.0, error_if_nonfinite=False)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        self._wait()
        return steps * len(self.pixels) / (time.perf_counter() - started)

    def _wait(self) -> None:
        if self.fabric.device.type == "cuda":
            torch.cuda.synchronize()


def compare(settings: Settings, tiles: int) -> None:
    """Print one row: the engine's rate, the bare loop's, their ratio epoch by epoch, memory."""
    one = scene(tiles)
    bare, ratios, rates, rest = BareLoop(one, settings), [], [], []
    bare.patches_per_s(settings.batch)

    def on_epoch(done: int, _most: int, history: Sequence[Epoch]) -> None:
        alone = bare.patches_per_s(tiles)
        if done > 1:  # the first epoch prepares kernels
            ratios.append(history[-1].patches_per_s / alone)
            rates.append(history[-1].patches_per_s)
            rest.append(1 - tiles / history[-1].patches_per_s / history[-1].seconds)

    trained = fitted(one, settings, on_epoch)
    device = pick_device(settings)
    print(
        f"width {settings.width:3} {device.precision:8} {statistics.median(rates):8.2f} patches/s, "
        f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"validation {statistics.median(rest):.0%} of the time, peak {trained.history[-1].memory_mb:.0f} MB",
        flush=True,
    )


def fitted(one: TrainingScene, settings: Settings, on_epoch: object) -> Trained:
    """Train as the program does, its checkpoints included."""
    with tempfile.TemporaryDirectory() as folder:
        keeper = Keeper(Fold(Run(Path(folder))), {}, lambda _best: None, lambda: False, settings.checkpoint_s)
        return fit([one], CONTRACT, settings, Watch(on_epoch, keeper))  # type: ignore[arg-type]


def reference(settings: Settings) -> None:
    """Time the reference recipe."""
    started = time.perf_counter()
    trained = fitted(scene(300), settings, lambda *_: None)
    seconds = time.perf_counter() - started
    print(f"reference recipe: {len(trained.history)} epochs of 300 tiles in {seconds:.1f} s")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("width", type=int, nargs="*", default=[16, 32])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--tiles", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--reference", action="store_true")
    given = parser.parse_args()
    shared = {"precision": given.precision, "device": given.device, "early_stop_epochs": 1000}
    print(pick_device(settings_from(shared, gpu=True)).name)
    if given.reference:
        reference(settings_from({**shared, "preset": "full"}, gpu=True))
        return
    for width in given.width:
        values = {"width": width, "epochs": given.epochs, "batch": given.batch, **shared}
        compare(settings_from(values, gpu=False), given.tiles)


if __name__ == "__main__":
    main()
