"""What a child may inherit of its surroundings: environment, devices, threads."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_LEAKS = re.compile(
    r"SLURM_.*|PMI.*|RANK|LOCAL_RANK|NODE_RANK|GROUP_RANK|ROLE_.*|WORLD_SIZE|LOCAL_WORLD_SIZE|MASTER_ADDR|MASTER_PORT"
    r"|TORCHELASTIC_.*|OMPI_.*|PL_GLOBAL_SEED|COBALT_.*|LSB_.*|WORKBENCH_LEASH"
)
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def child_environment(
    parent: Mapping[str, str], devices: tuple[str, ...] = (), keep_cluster: bool = False
) -> dict[str, str]:
    """The environment of a child: the parent's without what a scheduler or a launcher left in it.

    An inherited SLURM_NTASKS makes Lightning train with one rank instead of two, an inherited RANK makes it wait for
    ever. A launch prefix (srun) keeps them: it is what they are meant for. devices: the GPUs of this worker; without
    any, one thread, since there are as many cells as cores.
    """
    environment = {k: v for k, v in parent.items() if keep_cluster or not _LEAKS.fullmatch(k)}
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    else:
        environment.update(dict.fromkeys(_THREADS, "1"))
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")  # it forks
    return environment


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES takes. Asks the driver, not torch."""
    listed = environment.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if not shutil.which("nvidia-smi"):
        return []
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(i) for i in range(sum(line.startswith("GPU ") for line in answer.stdout.splitlines()))]


def device_groups(gpus: list[str], devices: int) -> list[tuple[str, ...]]:
    """Disjoint groups of `devices` GPUs each; a rest that fills no group stays unused."""
    return [tuple(gpus[i : i + devices]) for i in range(0, len(gpus) - devices + 1, devices)]


def cores() -> int:
    """The cores that this process may run on, as its cgroup and its affinity allow."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2 here
    return count
