"""Whole sweeps with real processes, killed, stopped and starved."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.study.engine import (
    TABLES,
    processes,
    root_of,
    run,
    shifts,
    slow_sweep,
    start,
    starts,
    unfinished,
    until,
    workers,
)
from tests.study.fakes import big_sweep, sweep, write


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a sweep that nobody disturbs."""
    path = write(tmp_path_factory.mktemp("calm"), slow_sweep())
    run(path, "--workers", "2")
    assert starts(path) == dict.fromkeys(starts(path), 1) and len(starts(path)) == 7
    return {name: (root_of(path) / name).read_bytes() for name in TABLES}


def test_the_same_command_again_does_nothing_and_says_the_same(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    path = write(tmp_path, slow_sweep())
    run(path, "--workers", "1")
    before = starts(path)
    run(path)
    assert starts(path) == before
    assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == undisturbed


def test_a_killed_worker_loses_nothing(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    path = write(tmp_path, slow_sweep())
    sweep_process = start(path, "--workers", "2")
    kills = 0
    while kills < 3 and sweep_process.poll() is None:  # on a busy machine the sweep may end before the third
        if len(workers(path)) == 2 and len(starts(path)) > 1 and unfinished(path):
            time.sleep(random.Random(kills).uniform(0, 0.4))
            for victim in workers(path)[:1]:
                os.kill(victim, signal.SIGKILL)
                until(lambda victim=victim: victim not in workers(path))  # type: ignore[misc]
                kills += 1
        time.sleep(0.02)
    out = sweep_process.communicate(timeout=60)[0]
    assert sweep_process.returncode == 0, out
    assert kills and "its cell goes back into the queue" in out
    assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == undisturbed
    assert processes(path) == {}


def test_a_killed_sweep_leaves_no_orphan_and_goes_on(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    path = write(tmp_path, slow_sweep())
    for count in (1, 3):
        sweep_process = start(path, "--workers", "2")
        until(lambda count=count: len(starts(path)) >= count)  # type: ignore[misc]
        sweep_process.kill()
        sweep_process.wait()
        until(lambda: processes(path) == {}, seconds=10)
    assert unfinished(path)
    run(path, "--workers", "2")
    assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == undisturbed


def test_ctrl_c_saves_and_the_same_command_goes_on(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    path = write(tmp_path, slow_sweep())
    sweep_process = start(path, "--workers", "1")
    slow = root_of(path) / "shift-slow"
    until(lambda: any(slow.glob("*/steps.txt")))
    sweep_process.send_signal(signal.SIGINT)
    out = sweep_process.communicate(timeout=20)[0]
    assert sweep_process.returncode == 130, out
    assert "running cells save first" in out and processes(path) == {}
    (cell,) = slow.iterdir()
    done = int((cell / "steps.txt").read_text())
    assert 0 < done < 6 and json.loads((cell / "attempt.json").read_text())["kind"] == "stopped"
    run(path)
    assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == undisturbed


def test_a_second_invocation_joins(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    path = write(tmp_path, slow_sweep())
    both = [start(path, "--workers", "1") for _ in range(2)]
    outs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], outs
    assert set(starts(path).values()) == {1} and unfinished(path) == []
    assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == undisturbed


def test_a_new_evaluation_trains_nothing_again(tmp_path: Path) -> None:
    path = shifts(tmp_path, "constant")
    run(path)
    path.write_text(path.read_text() + "evaluate: {steps: {3: {}, 1: {evaluation.num_inference_steps: 1}}}\n")
    before = {folder: (root_of(path) / folder).stat().st_ino for folder in starts(path)}
    run(path)
    assert set(starts(path)) == set(before), "the cells are the same folders"
    assert "steps = 1" in (root_of(path) / "table.md").read_text()


def test_failures_of_every_kind_are_told_apart_retried_and_leave_the_others_alone(tmp_path: Path) -> None:
    kinds = ("nan", "oom", "error", "die-9", "die-1")
    factors = {"shift": {"none": {}, **{kind: {"model.shift": kind} for kind in kinds}}}
    path = write(tmp_path, sweep(factors=factors, baseline={"shift": "none"}, seeds=1, run={"retries": 1}))
    out = run(path, status=1)
    by_arm = {folder.split("/")[0].removeprefix("shift-"): count for folder, count in starts(path).items()}
    # A diverged training is a result; a failure costs one retry; who dies once succeeds at the second attempt.
    assert by_arm == {"baseline": 1, "nan": 1, "oom": 2, "error": 2, "die-9": 2, "die-1": 2}
    assert sorted(folder.split("/")[0] for folder in unfinished(path)) == ["shift-die-9", "shift-error", "shift-oom"]
    table = (root_of(path) / "table.md").read_text()
    assert "diverged 1/1" in table and "@2" in table
    assert "failed 1/1 (oom)" in table and "failed 1/1 (killed)" in table and "failed 1/1 (error)" in table
    assert "shift-oom, seed 0 failed 2 times (oom): MemoryError: no memory for 3 GiB" in out
    assert "RuntimeError: the network fell over" in out and "log.txt ends with" in out, "the log's last lines"
    # The same command tries the failed ones once more, and nothing else.
    run(path, status=1)
    assert sum(starts(path).values()) == sum(by_arm.values()) + 6


def test_a_frozen_cell_is_found_and_its_stacks_are_written(tmp_path: Path) -> None:
    path = shifts(tmp_path, "hang", seeds=1, run={"retries": 0})
    out = run(path, status=1)
    assert "hung" in out
    (log,) = root_of(path).glob("shift-other/*/log.txt")
    assert "fake_cell.py" in log.read_text() and "most recent call first" in log.read_text()
    assert processes(path) == {}


def test_a_full_disk_ends_the_sweep_with_a_clear_word(tmp_path: Path) -> None:
    path = shifts(tmp_path, "full", seeds=1)
    out = run(path, "--workers", "1", status=74)
    assert "No room left on the disk" in out and "same command" in out
    (base,) = root_of(path).glob("baseline/*/result.json")
    assert json.loads(base.read_text())["status"] == "complete"


def test_an_unwritable_results_folder_is_refused_before_anything_starts(tmp_path: Path) -> None:
    path = shifts(tmp_path, "constant")
    (tmp_path / "results").write_text("a file, not a folder")
    out = run(path, status=2)
    assert "cannot be written" in out and "Nothing was started" in out


def test_a_lost_study_is_rebuilt_without_training_and_fresh_sets_results_aside(tmp_path: Path) -> None:
    path = shifts(tmp_path, "constant", seeds=1)
    run(path)
    table = (root_of(path) / "table.csv").read_bytes()
    for name in ("study.journal", "study.journal.lock", "plan.json", *TABLES):
        (root_of(path) / name).unlink()
    run(path)
    assert set(starts(path).values()) == {1}
    assert (root_of(path) / "table.csv").read_bytes() == table
    old = (root_of(path) / "study.journal").read_bytes()
    run(path, "--fresh")
    assert set(starts(path).values()) == {1}
    assert (root_of(path).with_name("shifts.1") / "study.journal").read_bytes() == old


def test_sqlite_is_refused_for_a_second_worker(tmp_path: Path) -> None:
    path = shifts(tmp_path, "slow", set={"train.updates": 30}, seeds=1)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    assert "no row locks" in run(path, "--storage", url, "--workers", "2", status=2)
    first = start(path, "--storage", url)
    until(lambda: bool(starts(path)))
    assert "no row locks" in run(path, "--storage", url, status=2)
    assert first.wait(60) == 0, first.communicate()[0]
    assert unfinished(path) == []


def test_leaked_cluster_variables_do_not_reach_a_cell(tmp_path: Path) -> None:
    from workbench.study.surroundings import child_environment

    leaked = {
        "SLURM_NTASKS": "1",
        "RANK": "3",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "MASTER_ADDR": "x",
        "PMI_RANK": "1",
        "TORCHELASTIC_RUN_ID": "y",
        "HOME": "/h",
    }
    child = child_environment(leaked)
    assert set(child) & set(leaked) == {"HOME"} and child["OMP_NUM_THREADS"] == "1"
    assert child_environment(leaked, ("2", "3"), keep_cluster=True)["SLURM_NTASKS"] == "1"
    assert child_environment({}, ("2", "3"))["CUDA_VISIBLE_DEVICES"] == "2,3"
    # and a whole sweep is not confused by them
    path = shifts(tmp_path, "constant", seeds=1)
    process = start(path, **{key: value for key, value in leaked.items() if key != "HOME"})
    assert process.wait(60) == 0, process.communicate()[0]


def test_a_cell_of_two_devices_starts_a_fresh_interpreter(tmp_path: Path) -> None:
    path = shifts(tmp_path, "constant", seeds=1, run={"devices": 2})
    run(path, "--workers", "1")
    assert unfinished(path) == []
    assert not (root_of(path) / "logs" / "forkserver.log").exists()


def test_a_killed_worker_takes_a_fresh_interpreter_with_it(tmp_path: Path) -> None:
    path = shifts(tmp_path, "slow", seeds=1, run={"devices": 2}, set={"train.updates": 200})
    sweep_process = start(path, "--workers", "1")
    until(lambda: any((root_of(path) / "shift-other").glob("*/steps.txt")))
    sweep_process.kill()
    sweep_process.wait()
    until(lambda: processes(path) == {}, seconds=10)


def test_a_report_is_written_where_there_is_no_torch(tmp_path: Path) -> None:
    path = shifts(tmp_path, "constant", seeds=1)
    run(path)
    table = (root_of(path) / "table.md").read_bytes()
    (root_of(path) / "table.md").unlink()
    without = "sys.modules.update(dict.fromkeys(('torch', 'torchvision', 'lightning', 'diffusers', 'optuna')))"
    code = f"import sys; {without}; from workbench.report import main; sys.exit(main([sys.argv[1]]))"
    subprocess.run([sys.executable, "-c", code, str(root_of(path))], check=True, stdout=subprocess.DEVNULL)
    assert (root_of(path) / "table.md").read_bytes() == table


def test_the_plan_prints_counts_and_starts_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, big_sweep())
    out = run(path, "--plan")
    assert "5 arms x 3 seeds, 15 trainings, 67 evaluations" in out and "network passes" in out
    assert not (tmp_path / "results").exists()


def test_a_mistake_costs_a_line_and_no_traceback(tmp_path: Path) -> None:
    path = write(tmp_path, sweep(baseline={"trajectory": "bakward"}))
    out = run(path, status=2)
    assert (
        out.strip() == f"{path}, baseline.trajectory: there is no level 'bakward'. "
        'Did you mean "backward"? Known: backward, forward.'
    )
