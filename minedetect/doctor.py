"""What this machine can do: device, precision, memory, disk, versions; and what to do about each."""

from __future__ import annotations

import platform
import shutil
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import psutil

from minedetect.bands import BandContract
from minedetect.config import TrainingSettings
from minedetect.devices import peak_rss_mb, pick_device
from minedetect.model import Detector, UNet, parameter_count, size_mb
from minedetect.network import network_of
from minedetect.probe import probe
from minedetect.runs import home

BANDS = ("B2", "B3", "B4", "B8", "B11")
LITTLE_DISK_GB = 5
LITTLE_MEMORY_GB = 4
PACKAGES = ("minedetect", "torch", "rasterio", "geopandas", "streamlit", "numpy")


def examine(settings: TrainingSettings) -> dict[str, Any]:
    """Run some forward passes and a moment of training on the device and report what was seen.

    Returns:
        `facts` for people, `advice`, and the figures behind them.

    Raises:
        DeviceError: the device asked for is not there.
    """
    device = pick_device(settings)
    net = UNet(len(BANDS), settings.width, settings.coarsen)
    zero, one = (0.0,) * len(BANDS), (1.0,) * len(BANDS)
    network = network_of(
        Detector(net, settings.width, BandContract(BANDS, "reflectance", zero, one, 10.0)), device, False
    )
    pixels = np.random.default_rng(0).random((4, len(BANDS), 256, 256), dtype=np.float32)
    network.everywhere(pixels[0])  # the first call prepares kernels
    started = time.perf_counter()
    for one in pixels:
        network.everywhere(one)
    seconds = (time.perf_counter() - started) / len(pixels)
    pace = probe(settings, len(BANDS))
    folder = home()
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    disk_gb, memory_gb = shutil.disk_usage(parent).free / 1e9, psutil.virtual_memory().available / 1e9
    figures = {
        "device": device.kind,
        "device_name": device.name,
        "precision": device.precision,
        "width": settings.width,
        "parameters": parameter_count(net),
        "model_mb": round(size_mb(net), 1),
        "forward_s_per_patch": round(seconds, 4),
        "training_tiles_per_s": float(f"{pace.learned_per_s:.3g}"),
        "peak_rss_mb": round(peak_rss_mb()),
        "free_memory_gb": round(memory_gb, 1),
        "free_disk_gb": round(disk_gb, 1),
        "home": str(folder),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "settings": settings.model_dump(mode="json"),
    }
    return {**figures, "facts": _facts(figures), "advice": _advice(figures)}


def _facts(figures: dict[str, Any]) -> dict[str, str]:
    chosen = figures["settings"]
    size = f"{figures['parameters'] / 1e6:.2f} M parameters, {figures['model_mb']} MB"
    return {
        "Device": figures["device_name"],
        "Precision": figures["precision"],
        "Network": f"width {figures['width']}, {size}",
        "Forward pass": f"{figures['forward_s_per_patch'] * 1000:.0f} ms a patch of 256 px",
        "Training": f"{figures['training_tiles_per_s']:.2g} tiles of {chosen['tile_px']} px a second, "
        f"{chosen['batch']} at a time",
        "Peak memory": f"{figures['peak_rss_mb']} MB",
        "Free memory": f"{figures['free_memory_gb']} GB",
        "Free disk": f"{figures['free_disk_gb']} GB at {figures['home']}",
        "Python": figures["python"],
        **{f"  {name}": number for name, number in figures["versions"].items()},
    }


def _advice(figures: dict[str, Any]) -> list[str]:
    advice = []
    if figures["device"] == "cpu":
        advice.append("No GPU is used: preset cpu (width 16) trains in minutes; width 64 would take hours.")
    if figures["precision"] == "float32":
        advice.append("No bf16 on this device: training is several times slower than where there is.")
    if figures["free_disk_gb"] < LITTLE_DISK_GB:
        advice.append("Little disk is left: free some, or set MINEDETECT_HOME to a folder on a larger disk.")
    if figures["free_memory_gb"] < LITTLE_MEMORY_GB:
        advice.append("Little memory is free: close other programs, or train on smaller scenes.")
    return advice or ["Nothing to mend."]
