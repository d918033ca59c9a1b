"""Our own tensor files, models and checkpoints: read so that nothing in them can run or unpack, and hashed."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

UNREADABLE = (
    *(pickle.UnpicklingError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError),
    *(zipfile.BadZipFile, IndexError, MemoryError, OverflowError),
)
"""What reading a damaged or foreign tensor file may raise."""


def read_content(path: Path) -> Any:
    """What a tensor file holds: tensors and plain values, never code.

    Our own files are zip archives whose members are not packed: nothing in them can unpack to more than it is.

    Raises:
        UNREADABLE: it is damaged, or not one of ours.
    """
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("packed members")
    return torch.load(path, map_location="cpu", weights_only=True)


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
