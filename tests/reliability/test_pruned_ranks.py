"""Trials of two ranks that a pruner stops on their way: both ranks train the same point, and both end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.evaluate.conftest import tiny_clip_path  # noqa: F401
from tests.reliability.counts import count
from tests.study.search.fakes import raw_search, root_of, standings, start, starts, write
from tests.study.search.test_real_search import two_ranks
from tests.study.search.test_search import UPPER
from tests.study.test_engine import processes


def check_trials(folder: Path, trials: int) -> tuple[int, int]:
    """Run so many trials of two ranks; returns how many were pruned, and how many complete."""
    raw = raw_search(
        trials=trials,
        confirm="none",
        pruner={"class_path": "ThresholdPruner", "upper": UPPER},
        intermediate={"at": [0.5], "num_images": 16},
        run={"retries": 0, "devices": 2},
        space={"train.learning_rate": {"low": 1e-5, "high": 9e-3, "log": True}},
    )
    path = write(folder, raw, updates=10)
    process = start(path, "--workers", "2", LOOK_SECONDS="0.4")
    out = process.communicate(timeout=2400)[0]
    assert process.returncode == 0, out
    assert processes(path) == {} and set(starts(path).values()) == {1}
    found = standings(path)
    assert len(found) == trials and {s.state for s in found} == {"complete", "pruned"}
    for one in found:
        cell = root_of(path) / one.trial.cell.folder
        assert (cell / "config0.sha256").read_text() == (cell / "config1.sha256").read_text()
        ((_, value),) = one.looks
        assert (one.state == "pruned") == (value > UPPER)
        assert (cell / "rank1.txt").read_text() == ("stopped" if one.state == "pruned" else "over")
    assert len({(root_of(path) / s.trial.cell.folder / "config0.sha256").read_text() for s in found}) == trials
    pruned = sum(s.state == "pruned" for s in found)
    return pruned, trials - pruned


@pytest.mark.slow
def test_fifty_trials_of_two_ranks_are_pruned_alike(tmp_path: Path, counted: Callable[[str], None]) -> None:
    pruned, complete = check_trials(tmp_path, count("RANK_TRIALS", 50))
    counted(f"R13: {pruned + complete} trials of two ranks, {pruned} pruned, {complete} complete, one point on both")


@pytest.mark.slow
def test_twenty_real_trainings_of_two_ranks_are_pruned_alike(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,  # noqa: F811
    counted: Callable[[str], None],
) -> None:
    """Ranks that Lightning starts, which evaluate together at a tenth of their training."""
    trials = count("REAL_RANK_TRIALS", 20)
    pruner = {"class_path": "MedianPruner", "n_startup_trials": 4}
    found = two_ranks(tmp_path, tiny_teacher_path, tiny_clip_path, trials, pruner)
    assert len(found) == trials and {one.state for one in found} == {"complete", "pruned"}
    assert processes(tmp_path / "tiny.yaml") == {}
    for one in found:
        folder = tmp_path / "results" / "tiny" / one.trial.cell.folder
        assert len(one.looks) == 1 and (folder / "student.safetensors").exists() == (one.state == "complete")
        updates = [json.loads(line)["update"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        assert updates == list(range(1, 1 + len(updates))), "rank 0 wrote, once each"
        assert len(updates) == 100 if one.state == "complete" else 10 <= len(updates) < 100, (
            "it goes on while it is judged"
        )
    assert (
        len({(tmp_path / "results" / "tiny" / one.trial.cell.folder / "config.yaml").read_text() for one in found}) > 1
    )
    pruned = sum(one.state == "pruned" for one in found)
    counted(f"R13: {trials} real trainings of two ranks, {pruned} pruned by both, {trials - pruned} complete")
