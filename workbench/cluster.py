"""Which of the tasks of a cluster's launcher this process is. Standard library only, so that any room may use it."""

from __future__ import annotations

import re
from collections.abc import MutableMapping

FIRST_PORT, PORTS = 20_000, 20_000


def adopt_task(environment: MutableMapping[str, str], processes: int | None = None) -> bool:
    """Say in the variables of a distributed training what srun says in its own; returns whether there was anything.

    srun starts every rank itself and numbers them: SLURM_PROCID of SLURM_STEP_NUM_TASKS, SLURM_LOCALID on node
    SLURM_NODEID. Training asks for LOCAL_RANK, NODE_RANK, MASTER_ADDR and MASTER_PORT, whoever has started it. The
    batch script of a job has some of these variables too, but no step: nothing is adopted there, and where LOCAL_RANK
    is set already.

    processes: adopt only a step of so many tasks; another number is somebody else's step. None for any above 1.
    """
    tasks = _number(environment.get("SLURM_STEP_NUM_TASKS"))
    if "LOCAL_RANK" in environment or "SLURM_PROCID" not in environment or tasks < 2:
        return False
    if processes is not None and tasks != processes:
        return False
    environment["LOCAL_RANK"] = environment.get("SLURM_LOCALID", "0")
    environment["NODE_RANK"] = environment.get("SLURM_NODEID", "0")
    environment.setdefault("MASTER_ADDR", first_host(environment.get("SLURM_STEP_NODELIST", "127.0.0.1")))
    # Every task must name the same port, and two cells on one node different ones: a step is a cell.
    job, step = _number(environment.get("SLURM_JOB_ID")), _number(environment.get("SLURM_STEP_ID"))
    environment.setdefault("MASTER_PORT", str(FIRST_PORT + (job * 131 + step) % PORTS))
    return True


def is_further_rank(environment: MutableMapping[str, str]) -> bool:
    """Whether another process of this training is the first one, which alone writes."""
    return any(_number(environment.get(name)) for name in ("LOCAL_RANK", "NODE_RANK"))


def first_host(nodes: str) -> str:
    """The first host of SLURM's list: 'gpu-a[03-05,09],b1' -> 'gpu-a03'."""
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", re.sub(r",(?![^\[]*\]).*", "", nodes.strip())) or "127.0.0.1"


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
