"""Cells of two real ranks, started by Lightning or by an imitated srun: killed and frozen."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.evaluate import conftest as evaluation
from tests.reliability.counts import count
from tests.reliability.test_ranks import FAKE_SRUN
from tests.reliability.trainings import ROOT, assert_equal_runs, config
from tests.study.engine import processes, until, workers
from workbench.study import plan as plans
from workbench.study.heartbeat import last_beat
from workbench.study.results import cell_result

tiny_clip_path = evaluation.tiny_clip_path  # a fixture of another room
SCRIPT = "import sys; from workbench.sweep import main; sys.exit(main(program='tests.study.tiny_program'))"


def write(folder: Path, teacher: Path, run: dict[str, Any], seeds: int = 1, updates: int = 8, **train: Any) -> Path:
    """One arm, two ranks."""
    folder.mkdir()
    settings = config(teacher, updates=updates, **train)
    settings["evaluation"] |= {"num_images": 8, "batch_size": 8}
    (folder / "base.yaml").write_text(yaml.safe_dump(settings))
    raw = {"question": "Does it survive?", "base": "base.yaml", "arms": {"only": {}}, "baseline": "only",
           "design": "none", "seeds": seeds, "metrics": {"FD[judge]": "min"},
           "run": {**run, "keep_checkpoints": True}}  # fmt: skip
    (folder / "ranks.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return folder / "ranks.yaml"


def start(path: Path, clip: Path, workers: int = 1) -> subprocess.Popen[str]:
    results = str(path.parent / "results")
    words = [str(path), "--results", results, "--workers", str(workers), "--trust-launch"]
    command = [sys.executable, "-c", SCRIPT, *words]
    environment = {"PYTHONPATH": str(ROOT), "TINY_CLIP": str(clip), "WORKBENCH_CACHE": str(path.parents[1] / "cache")}
    return subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def cell_of(path: Path) -> Path:
    """The folder of the only cell."""
    (cell,) = plans.load(path.parent / "results" / "ranks").cells
    return path.parent / "results" / "ranks" / cell.folder


def finish(process: subprocess.Popen[str], path: Path, status: int = 0) -> str:
    out = process.communicate(timeout=1200)[0]
    logs = [file.read_text()[-3000:] for file in path.parent.glob("results/*/*/*/log.txt")]
    assert process.returncode == status, out + "".join(logs)
    assert processes(path) == {}
    return out


def ranks(path: Path) -> dict[int, int]:
    """Rank -> process, of those that train at the moment, whether Lightning started them or srun."""
    found = {}
    for pid, line in processes(path).items():
        if line.split()[1:3] == ["-m", "workbench.study.child"]:  # neither srun nor what holds it on the leash
            try:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            named = dict(v.partition(b"=")[::2] for v in variables)
            found[max(int(named.get(name, b"0")) for name in (b"LOCAL_RANK", b"SLURM_PROCID"))] = pid
    return found


def begun(path: Path, since: float) -> bool:
    """Whether a checkpoint was written since then, and both ranks are there."""
    try:
        return (cell_of(path) / "last.ckpt").stat().st_mtime > since and len(ranks(path)) == 2
    except (OSError, ValueError):
        return False  # there is no plan, or no checkpoint yet


def wait_for_ranks(process: subprocess.Popen[str], path: Path, since: float | None) -> None:
    """Until two ranks are there, and have written a checkpoint since then unless it is None; or the sweep has ended."""
    until(
        lambda: process.poll() is not None or (len(ranks(path)) == 2 if since is None else begun(path, since)),
        seconds=300,
    )


def kill_rank(path: Path, rank: int) -> float | None:
    """SIGKILL it; returns the seconds until the last process of the cell was gone, None if the training had ended."""
    there = ranks(path)
    if len(there) < 2:
        return None
    os.kill(there[rank], signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: not set(there.values()) & set(processes(path)), seconds=60)
    return time.monotonic() - killed


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_teacher_path: Path, tiny_clip_path: Path) -> Path:
    path = write(tmp_path_factory.mktemp("ranks") / "calm", tiny_teacher_path, {"devices": 2})
    finish(start(path, tiny_clip_path), path)
    return cell_of(path)


def kill_ranks(folder: Path, calm: Path, teacher: Path, clip: Path, kills: int) -> tuple[dict[bool, list[float]], int]:
    """Each rank in turn, at random moments; the rest of the cell is gone within five seconds, the runs are bit-equal.

    Of four kills in a row two come after a checkpoint of the attempt, and the others while the ranks start. Returns the
    seconds that it took, of those while they start (True) and while they train, and the number of runs.
    """
    draw = random.Random(kills)
    seconds: dict[bool, list[float]] = {True: [], False: []}  # while they start, while they train
    done = rounds = 0
    while done < kills:
        rounds += 1
        path = write(folder / f"killed{rounds}", teacher, {"devices": 2, "retries": 100})
        process = start(path, clip)
        killed = 0.0
        while done < kills and process.poll() is None:
            starting = done // 2 % 2 == 1
            wait_for_ranks(process, path, None if starting else killed)
            time.sleep(draw.uniform(0, 3.0 if starting else 0.3))
            trained = begun(path, killed)
            if (needed := kill_rank(path, done % 2)) is not None:
                seconds[starting and not trained].append(needed)
                killed, done = time.time(), done + 1
        finish(process, path)
        assert_equal_runs(calm, cell_of(path))
    assert max(seconds[True] + seconds[False]) <= 5
    return seconds, rounds


def test_a_killed_rank(tmp_path: Path, calm: Path, tiny_teacher_path: Path, tiny_clip_path: Path) -> None:
    kill_ranks(tmp_path, calm, tiny_teacher_path, tiny_clip_path, 1)


@pytest.mark.slow
def test_killed_ranks(
    tmp_path: Path,
    calm: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,
    counted: Callable[[str], None],
) -> None:
    kills = count("RANK_KILLS", 20)
    seconds, rounds = kill_ranks(tmp_path, calm, tiny_teacher_path, tiny_clip_path, kills)
    said = " and ".join(
        f"{len(found)} {name} (all gone within {max(found):.1f} s)"
        for name, found in (("in training", seconds[False]), ("while they start", seconds[True]))
        if found
    )
    counted(f"R5: {kills} kills of a rank of two, {said}, {rounds} runs, retried: all bit-equal")


@pytest.mark.slow
def test_a_frozen_rank(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,
    counted: Callable[[str], None],
) -> None:
    """Found within its deadline, stacks dumped, marked; the sweep goes on with the next cell."""
    path = write(tmp_path / "frozen", tiny_teacher_path, {"devices": 2, "retries": 0}, seeds=2, updates=60)
    process = start(path, tiny_clip_path)
    until(lambda: (path.parent / "results/ranks/plan.json").exists(), seconds=900)
    first, second = (path.parent / "results/ranks" / c.folder for c in plans.load(path.parent / "results/ranks").cells)
    # The deadline of the first five steps, which may compile and allocate, is ten minutes.
    until(lambda: 0 < limit_of(first) < 600, seconds=900)
    there = ranks(path)
    os.kill(there[1], signal.SIGSTOP)
    frozen = time.monotonic()
    until(lambda: (first / "failure.json").exists(), seconds=900)
    seconds, limit = time.monotonic() - frozen, limit_of(first)
    failure = json.loads((first / "failure.json").read_text())
    silent = re.fullmatch(r"silent for (\d+) s in phase training; stacks are in log.txt", failure["message"])
    assert failure["kind"] == "hung" and silent and limit <= int(silent[1]) <= limit + 5
    assert seconds <= limit + 15  # with the stacks, the end of the group, and what a busy machine adds
    log = (first / "log.txt").read_text()
    for pid in there.values():
        assert f"Stacks of process {pid}:" in log
    assert log.count("most recent call first") >= 2
    out = finish(process, path, status=1)
    assert "seed 0 failed 1 times (hung): silent for" in out
    assert not (first / "result.json").exists() and (second / "result.json").exists()
    counted(f"R6: a frozen rank, deadline {limit:.0f} s, hung after {seconds:.0f} s, and the next cell was completed")


def limit_of(cell: Path) -> float:
    """The seconds of silence that its training allows itself, 0 before."""
    found = last_beat(cell)
    return found[0].limit if found and found[0].phase == "training" else 0.0


@pytest.mark.slow
def test_srun_starts_real_ranks_on_two_nodes(
    tmp_path: Path,
    calm: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,
) -> None:
    """One process on each of two nodes is what two processes on one node are."""
    run = {"devices": 1, "retries": 0, "launch": FAKE_SRUN}
    path = write(tmp_path / "srun", tiny_teacher_path, run, num_nodes=2)
    finish(start(path, tiny_clip_path), path)
    assert_equal_runs(calm, cell_of(path))
    plan = plans.load(path.parent / "results" / "ranks")
    assert cell_result(plan, plan.cells[0], path.parent / "results" / "ranks") is not None


@pytest.mark.slow
@pytest.mark.parametrize("launch", [[], FAKE_SRUN], ids=["here", "srun"])
def test_killed_workers_and_sweeps_leave_no_real_rank_behind(
    tmp_path: Path,
    calm: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,
    launch: list[str],
    counted: Callable[[str], None],
) -> None:
    run = {"devices": 1 if launch else 2, "retries": 0, "launch": launch}
    path = write(tmp_path / "orphans", tiny_teacher_path, run, num_nodes=2 if launch else 1)
    kills = count("ORPHANS", 4)
    for kill in range(kills):
        since = time.time() if kill % 4 < 2 else None
        process = start(path, tiny_clip_path)
        wait_for_ranks(process, path, since)
        there = set(processes(path)) - {process.pid}
        os.kill(process.pid if kill % 2 else workers(path)[0], signal.SIGKILL)
        until(lambda there=there: not there & set(processes(path)), seconds=10)  # type: ignore[misc]
        process.kill()
        process.communicate()
        until(lambda: processes(path) == {}, seconds=10)
    finish(start(path, tiny_clip_path), path)
    assert_equal_runs(calm, cell_of(path))
    by = "srun" if launch else "Lightning"
    counted(f"R7: {kills} kills of a worker or a sweep above two ranks of {by}: no process after 10 s, bit-equal")
