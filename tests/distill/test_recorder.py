"""The record of a training: one line an update, whole lines only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from workbench.distill.recorder import METRICS, Recorder


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def test_rows_are_written_at_a_flush_and_in_order(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder.add({"update": 1, "tick": 0, "t": 333}, {"loss/r": torch.tensor(0.5), "learning_rate": 1e-4})
    recorder.add({"update": 2, "tick": 1, "t": 1000}, {"loss/r": torch.tensor(0.25)})
    assert not (tmp_path / METRICS).exists()
    recorder.close()
    assert rows(tmp_path) == [
        {"update": 1, "tick": 0, "t": 333, "learning_rate": 1e-4, "loss/r": 0.5},
        {"update": 2, "tick": 1, "t": 1000, "loss/r": 0.25},
    ]


def test_moments_become_the_standard_deviation_and_its_ratio(tmp_path: Path) -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 7.0])
    recorder = Recorder(tmp_path)
    scalars = {"_moments/r": values.mean(), "_squares/r": values.square().mean(), "_reference/r": 4.0}
    (row,) = recorder_rows(recorder, scalars)
    assert row["target_std/r"] == pytest.approx(float(values.std(correction=0)))
    assert row["std_ratio/r"] == pytest.approx(float(values.std(correction=0)) / 4)
    assert not any(name.startswith("_") for name in row)


def recorder_rows(recorder: Recorder, scalars: dict) -> list[dict]:
    recorder.add({"update": 1, "tick": 0, "t": 1}, scalars)
    return recorder.flush()


def test_what_is_not_finite_is_null_so_that_every_line_is_json(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    recorder_rows(recorder, {"a": torch.tensor(float("nan")), "b": torch.tensor(float("inf")), "c": float("nan")})
    assert rows(tmp_path)[0] == {"update": 1, "tick": 0, "t": 1, "a": None, "b": None, "c": None}


def test_going_on_drops_the_rows_that_will_be_repeated_and_every_torn_end(tmp_path: Path) -> None:
    lines = [json.dumps({"update": i + 1, "tick": i}) + "\n" for i in range(6)]
    whole = "".join(lines)
    for cut in range(len("".join(lines[:4])), len(whole) + 1):  # every byte of the last two records
        (tmp_path / METRICS).write_text(whole[:cut])
        Recorder(tmp_path, resume_tick=4).close()
        assert (tmp_path / METRICS).read_text() == "".join(lines[:4])


def test_the_latest_value_of_every_curve_is_known_and_a_probe_is_no_update(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    for t, loss in ((1000, 4.0), (333, 2.0), (1000, 3.0)):
        recorder.add({"update": 1, "tick": 0, "t": t}, {"loss/x": loss, "learning_rate": 0.1})
    recorder.add({"update": 1, "tick": 0, "t": 333}, {"exposure_gap/x": 9.0})
    recorder.flush()
    assert recorder.latest == {
        "loss/x/t=1000": 3.0,
        "loss/x/t=333": 2.0,
        "learning_rate": 0.1,
        "exposure_gap/x/t=333": 9.0,
    }
    assert recorder.last["t"] == 1000 and "loss/x" in recorder.last
    recorder.close()


def test_other_ranks_write_nothing(tmp_path: Path) -> None:
    recorder = Recorder(None)
    assert len(recorder_rows(recorder, {"a": torch.tensor(1.0)})) == 1
    recorder.close()
    assert not list(tmp_path.iterdir())
