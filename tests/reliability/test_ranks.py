"""Cells of two processes: killed, frozen and orphaned ranks, launch prefixes, devices."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.study.engine import processes, root_of, run, start, starts, unfinished, until
from tests.study.fakes import sweep, write
from workbench.cluster import adopt_task, first_host, is_further_rank
from workbench.study.surroundings import child_environment, visible_gpus

FAKE_RANKS = "tests.reliability.fake_ranks"
FAKE_SRUN = [sys.executable, str(Path(__file__).with_name("fake_srun.py")), "2"]


def two_ranks(folder: Path, *kinds: str, **changes: Any) -> Path:
    """A sweep of cells of two processes: a baseline, and an arm a kind."""
    levels = {kind: {"model.shift": kind} for kind in kinds}
    raw = {"factors": {"shift": {"none": {}, **levels}}, "baseline": {"shift": "none"}, "seeds": 1}
    return write(folder, sweep(**{**raw, "run": {"devices": 2, "retries": 1}, **changes}))


def ranks_of(path: Path, arm: str) -> list[dict[str, Any]]:
    """What the ranks of the arm's cell said about themselves, in their order."""
    return [json.loads(line) for f in root_of(path).glob(f"{arm}/*/ranks.txt") for line in f.read_text().splitlines()]


def test_killed_and_frozen_ranks_cost_their_cell_an_attempt_and_nobody_else(tmp_path: Path) -> None:
    path = two_ranks(tmp_path, "kill-0", "kill-1", "freeze-1")
    out = run(path, "--workers", "2", status=1, PROGRAM=FAKE_RANKS)
    assert [folder.split("/")[0] for folder in unfinished(path)] == ["shift-freeze-1"]
    for arm, attempts in (("baseline", 1), ("shift-kill-0", 2), ("shift-kill-1", 2), ("shift-freeze-1", 2)):
        assert len(ranks_of(path, arm)) == 2 * attempts, arm
    assert "shift-freeze-1, seed 0 failed 2 times (hung)" in out
    (log,) = root_of(path).glob("shift-freeze-1/*/log.txt")
    text = log.read_text()
    for rank in ranks_of(path, "shift-freeze-1"):
        assert f"Stacks of process {rank['pid']}" in text, "every rank says where it stands"
    assert "in meet" in text and "time.sleep" not in text
    assert "(hung)" in (root_of(path) / "table.md").read_text()
    assert processes(path) == {}


@pytest.mark.parametrize("launch", [[], FAKE_SRUN], ids=["here", "srun"])
def test_a_killed_worker_leaves_no_rank_behind(tmp_path: Path, launch: list[str]) -> None:
    """With a launch prefix the ranks are on other nodes: what is killed here must still reach them."""
    path = two_ranks(tmp_path, "freeze-0", run={"devices": 2, "retries": 0, "launch": launch})
    sweep_process = start(path, "--workers", "1", "--only", "shift-freeze-0", PROGRAM=FAKE_RANKS)
    until(lambda: len(ranks_of(path, "shift-freeze-0")) == 2)
    sweep_process.kill()
    sweep_process.wait()
    until(lambda: processes(path) == {}, seconds=10)


def test_srun_starts_the_ranks_and_none_starts_another(tmp_path: Path) -> None:
    path = two_ranks(tmp_path, "constant", run={"devices": 2, "retries": 0, "launch": FAKE_SRUN})
    # as inside a job: the batch script's own variables must not number the tasks
    leaked: Any = {"SLURM_JOB_ID": "4711", "SLURM_PROCID": "1", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_TASKS": "9"}
    run(path, "--workers", "1", PROGRAM=FAKE_RANKS, **leaked)
    assert unfinished(path) == []
    for arm in ("baseline", "shift-constant"):
        found = sorted(ranks_of(path, arm), key=lambda rank: rank["rank"])
        assert [(r["LOCAL_RANK"], r["NODE_RANK"], r["MASTER_ADDR"]) for r in found] == [
            ("0", "0", "127.0.0.1"),
            ("0", "1", "127.0.0.1"),
        ]
        assert len({r["MASTER_PORT"] for r in found}) == 1
    assert starts(path) == dict.fromkeys(starts(path), 1), "the first rank alone evaluates"


def test_a_job_s_leaked_variables_do_not_change_the_number_of_ranks(tmp_path: Path) -> None:
    path = two_ranks(tmp_path)
    leaked: Any = {"SLURM_NTASKS": "1", "SLURM_PROCID": "1", "SLURM_NTASKS_PER_NODE": "1", "SLURM_STEP_NUM_TASKS": "4",
              "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1",
              "MASTER_ADDR": "nowhere", "SLURM_JOB_ID": "1"}  # fmt: skip
    run(path, "--workers", "1", PROGRAM=FAKE_RANKS, **leaked)
    found = ranks_of(path, "baseline")
    assert sorted(r["LOCAL_RANK"] or "0" for r in found) == ["0", "1"]
    assert {r["SLURM_NTASKS"] for r in found} == {None} == {r["MASTER_ADDR"] for r in found}


def test_workers_get_disjoint_groups_of_the_visible_gpus(tmp_path: Path) -> None:
    names = ["GPU-5aa", "3", "MIG-77", "GPU-0c", "1"]
    path = two_ranks(tmp_path, "constant", "scale", seeds=2)
    run(path, PROGRAM=FAKE_RANKS, CUDA_VISIBLE_DEVICES=",".join(names))
    said = {arm: ranks_of(path, arm) for arm in ("baseline", "shift-constant", "shift-scale")}
    groups = {rank["CUDA_VISIBLE_DEVICES"] for ranks in said.values() for rank in ranks}
    assert groups == {"GPU-5aa,3", "MIG-77,GPU-0c"}, "two workers; the fifth GPU is no pair"
    out = run(path, "--workers", "3", "--fresh", status=2, PROGRAM=FAKE_RANKS, CUDA_VISIBLE_DEVICES=",".join(names))
    assert "--workers 3: 2 groups of 2 GPUs are visible" in out


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("6, 2,4", ["6", "2", "4"]),
        ("GPU-a,MIG-b", ["GPU-a", "MIG-b"]),
        ("", []),
        ("-1", []),
        ("2,-1,3", ["2"]),  # CUDA reads up to the first that is none
        ("NoDevFiles", []),
    ],
)
def test_the_visible_gpus_are_those_that_cuda_would_see(listed: str, names: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == names


def test_which_task_of_a_step_this_is() -> None:
    step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
            "SLURM_STEP_NODELIST": "gpu-a[03-05,09],b1", "SLURM_JOB_ID": "123456", "SLURM_STEP_ID": "2"}  # fmt: skip
    task = dict(step)
    assert adopt_task(task, 4) and is_further_rank(task)
    assert (task["LOCAL_RANK"], task["NODE_RANK"], task["MASTER_ADDR"]) == ("1", "1", "gpu-a03")
    assert 20_000 <= int(task["MASTER_PORT"]) < 40_000
    first = {**step, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    assert adopt_task(first, 4) and not is_further_rank(first)
    assert first["MASTER_PORT"] == task["MASTER_PORT"], "all must meet at one port"
    other = {**step, "SLURM_STEP_ID": "3"}
    assert adopt_task(other) and other["MASTER_PORT"] != task["MASTER_PORT"], "two cells on one node do not"
    for foreign in ({}, {**step, "LOCAL_RANK": "0"}, {**step, "SLURM_STEP_NUM_TASKS": "1"}):
        assert not adopt_task(dict(foreign))
    batch_script = {k: v for k, v in step.items() if "STEP" not in k}
    assert not adopt_task(batch_script) and not adopt_task(dict(step), 2)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("n1", "n1"), ("n1,n2", "n1"), ("n[1-4]", "n1"), ("gpu[007,9]", "gpu007"), ("r[1-2]n[3-4],x", "r1n3"),
     ("", "127.0.0.1")],
)  # fmt: skip
def test_the_first_host_of_a_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_a_prefix_gets_the_job_but_not_the_task() -> None:
    job = {"SLURM_JOB_ID": "1", "SLURM_NTASKS": "4", "A": "b"}
    parent = {**job, "SLURM_PROCID": "3", "SLURM_STEP_ID": "0", "RANK": "3"}
    kept = child_environment(parent, keep_cluster=True)
    assert {k for k in kept if k in parent} == set(job)
    assert {k for k in child_environment(parent) if k in parent} == {"A"}


def test_the_array_s_script_lets_a_sweep_stop_before_the_time_limit(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/bash\ntrap "echo saved; exit 130" TERM\necho "started $*"\nfor _ in {1..600}; do sleep 0.1; done\n'
    )
    python.chmod(0o755)
    script = Path(__file__).resolve().parents[2] / "sweeps" / "slurm_array.sh"
    process = subprocess.Popen(
        ["bash", str(script), "my.yaml", "/results"], text=True, stdout=subprocess.PIPE,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "started -m workbench.sweep my.yaml --results /results\n"
    time.sleep(1)  # until the script waits
    process.send_signal(signal.SIGTERM)
    out = process.communicate(timeout=60)[0]
    assert out.startswith("saved\n") and "next job of the array goes on" in out and process.returncode == 130


def test_a_frozen_leader_and_a_killed_worker(tmp_path: Path) -> None:
    """The leash hangs in the frozen process; the kernel's own sign of death reaches it all the same."""
    path = two_ranks(tmp_path, "freeze-0", run={"devices": 2, "retries": 0})
    sweep_process = start(path, "--workers", "1", "--only", "shift-freeze-0", PROGRAM=FAKE_RANKS)
    until(lambda: len(ranks_of(path, "shift-freeze-0")) == 2)
    (leader,) = (r["pid"] for r in ranks_of(path, "shift-freeze-0") if r["rank"] == 0)
    until(lambda: Path(f"/proc/{leader}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    time.sleep(0.1)
    os.kill(sweep_process.pid, signal.SIGKILL)
    sweep_process.wait()
    until(lambda: processes(path) == {}, seconds=10)
