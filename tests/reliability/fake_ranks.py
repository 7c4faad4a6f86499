"""A cell of two processes that needs no network: they meet after every step, as ranks do in a collective.

`model.shift.kind` makes it misbehave. freeze-R: rank R stops itself in every attempt; kill-R: rank R kills itself in
the first one. As in Lightning, rank 0 starts rank 1 by repeating its own command, unless somebody else (srun) has, and
ends when rank 1 dies.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.study import fake_cell
from workbench.study.heartbeat import beat

LIMIT = 5.0  # seconds of silence; a busy machine takes some for a step
SEEN = ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT", "CUDA_VISIBLE_DEVICES", "SLURM_NTASKS", "SLURM_PROCID")


def run_cell(folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    if config["train"]["devices"] < 2:
        fake_cell.run_cell(folder)
        return
    attempt = os.environ["WORKBENCH_ATTEMPT"]
    other = None
    if "LOCAL_RANK" not in os.environ:
        command = [sys.executable, "-m", "workbench.study.child", str(folder), __name__]
        other = subprocess.Popen(command, env={**os.environ, "LOCAL_RANK": "1"})
    rank = max(int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "NODE_RANK"))
    with open(folder / "ranks.txt", "a") as file:
        line = {"rank": rank, "pid": os.getpid(), "attempt": attempt, **{k: os.environ.get(k) for k in SEEN}}
        file.write(json.dumps(line) + "\n")
    kind = str(config["model"]["shift"]["kind"])
    for step in range(3):
        if step == 1 and kind == f"freeze-{rank}":
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(60)  # woken for its stacks, it hangs on
        if step == 1 and kind == f"kill-{rank}" and attempt == "0":
            os.kill(os.getpid(), signal.SIGKILL)
        meet(folder, attempt, step, rank, other)
        if rank == 0:
            beat(folder, "training", step / 3, LIMIT)
    if rank == 0:
        fake_cell.run_cell(folder)


def meet(folder: Path, attempt: str, step: int, rank: int, other: subprocess.Popen | None) -> None:
    """Wait for the other rank."""
    (folder / f"met-{attempt}-{step}-{rank}").touch()
    while not (folder / f"met-{attempt}-{step}-{1 - rank}").exists():
        if other is not None and other.poll() not in (None, 0):
            raise RuntimeError(f"rank 1 ended with {other.returncode}")
        time.sleep(0.01)
