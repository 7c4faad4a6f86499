"""Cells of two real ranks, started by Lightning or by an imitated srun: killed and frozen."""

from __future__ import annotations

import json
import os
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
from tests.study.engine import processes, until
from workbench.study import plan as plans
from workbench.study.results import cell_result

pytestmark = pytest.mark.slow
tiny_clip_path = evaluation.tiny_clip_path  # a fixture of another room
SCRIPT = "import sys; from workbench.sweep import main; sys.exit(main(program='tests.study.tiny_program'))"


def write(folder: Path, teacher: Path, run: dict[str, Any], updates: int = 8, **train: Any) -> Path:
    """One arm, one seed, two ranks."""
    folder.mkdir()
    settings = config(teacher, updates=updates, **train)
    settings["evaluation"] |= {"num_images": 8, "batch_size": 8}
    (folder / "base.yaml").write_text(yaml.safe_dump(settings))
    raw = {"question": "Does it survive?", "base": "base.yaml", "arms": {"only": {}}, "baseline": "only",
           "design": "none", "seeds": 1, "metrics": {"FD[judge]": "min"},
           "run": {**run, "keep_checkpoints": True}}  # fmt: skip
    (folder / "ranks.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return folder / "ranks.yaml"


def start(path: Path, clip: Path) -> subprocess.Popen[str]:
    words = [str(path), "--results", str(path.parent / "results"), "--workers", "1", "--trust-launch"]
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
    """Rank -> process, of those that train at the moment."""
    found = {}
    for pid, line in processes(path).items():
        if "workbench.study.child" in line:
            try:
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                continue
            named = dict(v.partition(b"=")[::2] for v in variables)
            found[int(named.get(b"LOCAL_RANK", b"0"))] = pid
    return found


def begun(path: Path, since: float) -> bool:
    """Whether a checkpoint was written since then, and both ranks are there."""
    try:
        return (cell_of(path) / "last.ckpt").stat().st_mtime > since and len(ranks(path)) == 2
    except (OSError, ValueError):
        return False  # there is no plan, or no checkpoint yet


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory, tiny_teacher_path: Path, tiny_clip_path: Path) -> Path:
    path = write(tmp_path_factory.mktemp("ranks") / "calm", tiny_teacher_path, {"devices": 2})
    finish(start(path, tiny_clip_path), path)
    return cell_of(path)


def test_killed_ranks(
    tmp_path: Path,
    calm: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,
    counted: Callable[[str], None],
) -> None:
    """Each rank in turn, after a checkpoint of the attempt; the rest of the cell is gone within five seconds."""
    kills = count("RANK_KILLS", 20)
    path = write(tmp_path / "killed", tiny_teacher_path, {"devices": 2, "retries": 100})
    done, slowest = 0, 0.0
    while done < kills:
        process = start(path, tiny_clip_path)
        since = 0.0
        while done < kills and process.poll() is None:
            if not (cell_of(path) if (path.parent / "results/ranks/plan.json").exists() else None) or not begun(
                path, since
            ):
                time.sleep(0.02)
                continue
            there = ranks(path)
            if len(there) < 2:
                continue
            os.kill(there[done % 2], signal.SIGKILL)
            killed = time.monotonic()
            until(lambda there=there: not set(there.values()) & set(processes(path)), seconds=60)  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - killed)
            since, done = time.time(), done + 1
        finish(process, path)
        assert_equal_runs(calm, cell_of(path))
        if done < kills:  # the cell was done before: once more, from the start
            (cell_of(path)).rename(path.parent / f"done{done}")
            (path.parent / "results/ranks/study.journal").unlink()
    assert slowest <= 5
    counted(f"R5: {done} kills of a rank of two, all ranks gone within {slowest:.1f} s, retried, bit-equal")


def test_a_frozen_rank(
    tmp_path: Path,
    tiny_teacher_path: Path,
    tiny_clip_path: Path,
    counted: Callable[[str], None],
) -> None:
    path = write(tmp_path / "frozen", tiny_teacher_path, {"devices": 2, "retries": 0}, updates=2000)
    process = start(path, tiny_clip_path)
    until(lambda: begun(path, 0.0), seconds=900)
    # The deadline of the first five steps, which may compile and allocate, is ten minutes.
    until(lambda: json.loads((cell_of(path) / "heartbeat").read_text())["limit"] < 600, seconds=900)
    there = ranks(path)
    os.kill(there[1], signal.SIGSTOP)
    frozen = time.monotonic()
    limit = json.loads((cell_of(path) / "heartbeat").read_text())["limit"]
    out = finish(process, path, status=1)
    seconds = time.monotonic() - frozen
    assert "(hung)" in out and "silent for" in out
    log = (cell_of(path) / "log.txt").read_text()
    for pid in there.values():
        assert f"Stacks of process {pid}:" in log
    assert log.count("most recent call first") >= 2
    # From the deadline on: the stacks, the end of the group, the next claim, and the table.
    assert seconds <= limit + 15
    counted(f"R6: a frozen rank, deadline {limit:.0f} s, the sweep was over {seconds:.0f} s after it froze")


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
