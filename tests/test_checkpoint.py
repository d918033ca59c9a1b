"""A checkpoint is whole or not there, whenever its writer dies."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minedetect import checkpoint
from minedetect.checkpoint import Snapshot, grouped, joined
from minedetect.errors import ModelError
from minedetect.runs import CHECKPOINT, Run


def numbered(number: int) -> Snapshot:
    """A snapshot whose every value tells its number."""
    tensors = {"net/a": torch.full((300, 300), float(number)), "place/order": torch.full((7,), number)}
    return Snapshot({"epoch": number, "best": [number, 0.25], "rate": float("inf")}, tensors)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    checkpoint.write(numbered(3), tmp_path / CHECKPOINT)
    again = checkpoint.read(tmp_path / CHECKPOINT)
    assert again.about == numbered(3).about
    assert all(torch.equal(again.tensors[k], v) for k, v in numbered(3).tensors.items())


@given(st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.text("xyz/", min_size=1), st.integers(), min_size=1)))
def test_groups_come_apart_as_they_were_joined(groups: dict[str, dict[str, int]]) -> None:
    tensors = {group: {k: torch.tensor(v % 1000) for k, v in of.items()} for group, of in groups.items()}
    assert grouped(joined(tensors)) == tensors


@pytest.mark.parametrize("place", [0.2, 0.5, 0.8, 0.97])
def test_one_flipped_bit_is_noticed(place: float, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    checkpoint.write(numbered(1), path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    try:
        found = checkpoint.read(path)
    except ModelError:
        return
    assert found.about == numbered(1).about, "the bit lay in padding, or it must be noticed"
    assert all(torch.equal(found.tensors[k], v) for k, v in numbered(1).tensors.items())


def test_a_bit_flipped_in_a_weight_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    checkpoint.write(numbered(1), path)
    content = bytearray(path.read_bytes())
    content[content.index(bytes.fromhex("0000803f") * 50) + 40] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged|not a whole"):
        checkpoint.read(path)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x80\x04K\x01."])
def test_what_is_no_checkpoint_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ModelError):
        checkpoint.read(tmp_path / CHECKPOINT)


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    run, dice = Run(tmp_path), random.Random(0)
    path = run.path(CHECKPOINT)
    started = time.perf_counter()
    for _ in range(5):
        checkpoint.write(numbered(0), path)
    one_write_s = (time.perf_counter() - started) / 5  # a disk may be quick or slow
    half_written, last, newer = 0, 0, 0
    for _ in range(200):
        awake, wake = os.pipe()
        writer = os.fork()
        if writer == 0:
            torch.set_num_threads(1)  # a forked process has none of its parent's threads to wait for
            os.write(wake, b"1")
            for number in itertools.count(last + 1):
                checkpoint.write(numbered(number), path)
        os.read(awake, 1)  # a fork takes longer than a write where memory is slow
        os.close(awake)
        os.close(wake)
        time.sleep(dice.uniform(0, 4 * one_write_s))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        half_written += len(list(tmp_path.glob(f".{path.stem}.*")))
        run.sweep()
        found = checkpoint.read(path)
        number = found.about["epoch"]
        assert number >= last
        assert all(torch.equal(found.tensors[k], v) for k, v in numbered(number).tensors.items())
        newer, last = newer + (number > last), number
    assert half_written >= 5, "hardly any death fell into a write, so this shows little"
    assert newer >= 5, "hardly any write came to its end"
    assert [p.name for p in tmp_path.iterdir()] == [CHECKPOINT]
