"""Where to compute and in which precision; how much memory there is, and whether it ran out."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from minedetect.config import DeviceSettings
from minedetect.errors import DeviceError

RESIDENT_SHARE = 0.4
"""Scenes go to the GPU when they fit into this share of its free memory; the rest is the network's."""

PROCESS_STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Device:
    """Where and in which precision to compute.

    Args:
        kind: "cpu" or "cuda".
        bf16: run convolutions in bfloat16.
        name: for people.
    """

    kind: str
    bf16: bool
    name: str

    @property
    def torch(self) -> torch.device:
        return torch.device(self.kind)

    @property
    def precision(self) -> str:
        return "bf16" if self.bf16 else "float32"


def gpu_present() -> bool:
    """Whether CUDA has a device."""
    return bool(torch.cuda.is_available())


def _cpu_has_bf16() -> bool:
    """Whether the processor computes bf16 itself; where it is emulated it is slower than float32."""
    native = torch.cpu._is_avx512_bf16_supported() or cpu_has_amx()
    return bool(native and torch.backends.mkldnn.enabled)


def cpu_has_amx() -> bool:
    """Whether the processor multiplies whole matrices at once."""
    return bool(torch.cpu._is_amx_tile_supported())


def pick_device(settings: DeviceSettings) -> Device:
    """The device and precision that the settings and the machine allow.

    Raises:
        DeviceError: a GPU was asked for and there is none.
    """
    if settings.device == "cuda" and not gpu_present():
        raise DeviceError("There is no CUDA device here. Use --device cpu, or see `minedetect doctor`.")
    kind = "cuda" if settings.device != "cpu" and gpu_present() else "cpu"
    if kind == "cuda":
        capable = torch.cuda.is_bf16_supported()
        name = torch.cuda.get_device_name()
    else:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(len(os.sched_getaffinity(0)))
        capable = _cpu_has_bf16()
        threads = torch.get_num_threads()
        name = f"CPU, {threads} thread{'' if threads == 1 else 's'}"
    if settings.precision == "bf16" and not capable:
        raise DeviceError(f"{name} has no bf16. Use --precision float32 or auto.")
    return Device(kind, capable and settings.precision != "float32", name)


def fits_on(device: torch.device, size_bytes: int) -> bool:
    """Whether scenes of a size may stay on a device beside the network."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size_bytes <= RESIDENT_SHARE * free


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or in the process."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    words = ("out of memory", "not enough memory", "can't allocate memory", "could not create a memory")
    return isinstance(error, RuntimeError) and any(w in str(error).lower() for w in words)


def peak_rss_mb() -> float:
    """Largest memory of this process so far, in megabytes (10^6 bytes).

    On Linux `getrusage` would tell that of the process which started this one, where that is larger.
    """
    status = PROCESS_STATUS.read_text(encoding="utf-8") if PROCESS_STATUS.exists() else ""
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)


def peak_memory_mb(device: torch.device) -> float:
    """Largest memory so far: of the GPU where that computes, else of the process."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else peak_rss_mb()
