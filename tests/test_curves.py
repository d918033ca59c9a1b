from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minedetect.curves import Epoch, of_older_version, read_metrics, write_metrics

VALUES = len(fields(Epoch)) - 2
rows = st.lists(st.tuples(*[st.floats(0, 1e6) | st.just(math.nan)] * VALUES, st.integers(0, 9)), max_size=5)


@given(rows)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]) -> None:
    path = tmp_path_factory.mktemp("run") / "metrics.csv"
    history = [Epoch(number, *row) for number, row in enumerate(rows, start=1)]
    write_metrics(path, history)
    read = read_metrics(path)
    assert [row.epoch for row in read] == [*range(1, len(history) + 1)]
    for there, here in zip(read, history, strict=True):
        for field in fields(Epoch):
            assert getattr(there, field.name) == pytest.approx(getattr(here, field.name), rel=1e-5, nan_ok=True)


def test_a_half_line_is_left_out_and_no_file_is_no_epoch(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_metrics(path) == ()
    write_metrics(path, [Epoch(1, *[0.5] * VALUES, 1)])
    with path.open("a", encoding="utf-8") as file:
        file.write("2,0.4")
    assert [row.epoch for row in read_metrics(path)] == [1]


@pytest.mark.parametrize(
    ("text", "older"),
    [
        ("epoch,train_loss,iou\n1,0.5,0.3\n", True),
        ("epoch,train_loss,iou\n", False),
        (",".join(f.name for f in fields(Epoch)) + "\n1,0.5\n", False),
        ("", False),
        ("nothing of the kind", False),
    ],
)
def test_epochs_without_a_column_are_of_an_older_version(tmp_path: Path, text: str, older: bool) -> None:
    path = tmp_path / "metrics.csv"
    assert not of_older_version(path)
    path.write_text(text)
    assert of_older_version(path) is older
