"""Many processes write into one record at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.counts import count
from tests.reliability.test_killed_sweeps import assert_each_cell_once
from tests.study.engine import run, starts
from tests.study.fakes import sweep, write
from workbench.study.ledger import open_storage

REPORTS = 10

TRIALS = """
import sys
from pathlib import Path
import optuna
from workbench.study.ledger import open_storage
root, storage, trials, reports = Path(sys.argv[1]), sys.argv[2] or None, int(sys.argv[3]), int(sys.argv[4])
optuna.logging.set_verbosity(optuna.logging.WARNING)
random = optuna.samplers.RandomSampler()
study = optuna.load_study(study_name="many", storage=open_storage(storage, root), sampler=random)
for _ in range(trials):
    trial = study.ask()
    x = trial.suggest_float("x", 0, 1)
    for step in range(reports):
        trial.report(x + step, step)
    study.tell(trial, x)
"""


def check_storage(root: Path, storage: str | None, processes: int, trials: int) -> int:
    """So many processes make so many trials each, with REPORTS values on the way; returns how many came out."""
    import optuna

    study = optuna.create_study(study_name="many", storage=open_storage(storage, root))
    command = [sys.executable, "-c", TRIALS, str(root), storage or "", str(trials), str(REPORTS)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(processes)]
    said = [process.communicate(timeout=1200)[0].decode() for process in started]
    assert [process.returncode for process in started] == [0] * processes and not any(said), said
    study = optuna.load_study(study_name="many", storage=open_storage(storage, root))
    found = study.trials
    assert sorted(trial.number for trial in found) == list(range(processes * trials))
    for trial in found:
        x = trial.params["x"]
        assert trial.state.name == "COMPLETE" and trial.value == x
        assert trial.intermediate_values == {step: x + step for step in range(REPORTS)}
    return len(found)


def test_two_processes_write_trials_into_one_journal(tmp_path: Path) -> None:
    assert check_storage(tmp_path, None, 2, 5) == 10


@pytest.mark.slow
@pytest.mark.parametrize("where", ["journal", "postgresql"])
def test_eight_processes_lose_no_trial_and_no_value(
    tmp_path: Path, where: str, request: pytest.FixtureRequest, counted: Callable[[str], None]
) -> None:
    trials = count("TRIALS", 100)
    storage = request.getfixturevalue("server") if where == "postgresql" else None
    found = check_storage(tmp_path, storage, 8, trials)
    counted(f"R10: 8 processes, {trials} trials each, {REPORTS} values a trial on {where}: {found} of {8 * trials}")


def count_cells(folder: Path, workers: int, repeats: int) -> Counter[int]:
    """Run 12 arms x 3 seeds so many times; returns how often it were how many cells, each of them once."""
    levels = {f"T{i}": {"model.trajectory": f"T{i}"} for i in range(1, 12)}
    raw = sweep(factors={"trajectory": {"backward": {}, **levels}}, seeds=3)
    made: Counter[int] = Counter()
    for repeat in range(repeats):
        (folder / str(repeat)).mkdir()
        path = write(folder / str(repeat), raw)
        run(path, "--workers", str(workers))
        assert set(starts(path).values()) == {1}
        made[assert_each_cell_once(path)] += 1
    return made


def test_twelve_arms_of_three_seeds_are_36_cells(tmp_path: Path) -> None:
    assert count_cells(tmp_path, 2, 1) == {36: 1}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_twelve_arms_of_three_seeds_are_36_cells_each_time(
    tmp_path: Path, workers: int, counted: Callable[[str], None]
) -> None:
    repeats = count("REPEATS", 20)
    assert count_cells(tmp_path, workers, repeats) == {36: repeats}
    counted(f"R12: 12 arms x 3 seeds, {workers} workers, {repeats} times: exactly 36 cells each time")
