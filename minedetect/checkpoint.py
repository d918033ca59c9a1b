"""A training's whole state on disk: written so that no moment of death leaves half a file, checked when read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minedetect.errors import ModelError
from minedetect.files import replacing
from minedetect.stored import UNREADABLE, digest_of, read_content

FORMAT = 1


@dataclass(frozen=True)
class Snapshot:
    """All of a training at one moment, between two steps.

    Args:
        about: plain JSON values: epoch, place in it, curves, scheduler.
        tensors: weights, running averages, optimizer moments, random states, by name.
    """

    about: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


def joined(groups: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Groups of named tensors as one, each name led by its group's."""
    return {f"{group}/{name}": tensor for group, tensors in groups.items() for name, tensor in tensors.items()}


def grouped(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The inverse of `joined`; a group that held nothing is gone."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        group, name = key.split("/", 1)
        groups.setdefault(group, {})[name] = tensor
    return groups


def write(snapshot: Snapshot, path: Path) -> None:
    """Write a checkpoint: a temporary file, brought to disk, then renamed.

    Raises:
        BadInput: the disk is full or the folder cannot be written; the old checkpoint is untouched.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()}
    about = json.dumps(snapshot.about)
    signed = {
        "format": FORMAT,
        "sha256": digest_of(tensors),
        "about_sha256": hashlib.sha256(about.encode()).hexdigest(),
    }
    with replacing(path) as temporary:
        torch.save({"signed": json.dumps(signed), "about": about, "tensors": tensors}, temporary)


def read(path: Path) -> Snapshot:
    """Read a checkpoint.

    Raises:
        ModelError: it is damaged, or not one of ours.
    """
    try:
        content = read_content(path)
        signed, about, tensors = json.loads(content["signed"]), content["about"], content["tensors"]
        whole = (
            signed["format"] == FORMAT
            and signed["about_sha256"] == hashlib.sha256(about.encode()).hexdigest()
            and signed["sha256"] == digest_of(tensors)
        )
        found = Snapshot(json.loads(about), tensors)
    except UNREADABLE as error:
        raise ModelError(f"{path} is not a whole checkpoint. Train anew, without --resume.") from error
    if not whole:
        raise ModelError(f"{path} is damaged: it does not match its checksum. Train anew, without --resume.")
    return found
