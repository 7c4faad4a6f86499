"""What a child may inherit of its surroundings: environment, devices, threads."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

# Which task of somebody's launcher this process is: never a child's, who is another one.
_TASK = (
    r"RANK|LOCAL_RANK|NODE_RANK|GROUP_RANK|ROLE_.*|(LOCAL_|GROUP_)?WORLD_SIZE|MASTER_ADDR|MASTER_PORT|TORCHELASTIC_.*"
    r"|PL_GLOBAL_SEED|WORKBENCH_LEASH|SLURM_(PROCID|LOCALID|NODEID|GTIDS|TASK_PID|STEP.*)|PMI.*|PALS_.*|OMPI_.*"
    r"|FLUX_TASK_.*"
)
_CLUSTER = r"SLURM_.*|COBALT_.*|LSB_.*"  # what a launch prefix asks for
_LEAKS, _TASKS = re.compile(f"{_TASK}|{_CLUSTER}"), re.compile(_TASK)
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
    ever. A launch prefix (srun) keeps those of the job, which it asks for, and numbers its tasks anew. devices: the
    GPUs of this worker; without any, one thread, since there are as many cells as cores.
    """
    leaks = _TASKS if keep_cluster else _LEAKS
    environment = {k: v for k, v in parent.items() if not leaks.fullmatch(k)}
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
        names = [name.strip() for name in listed.split(",")]
        # CUDA reads the list up to the first entry that is no device.
        return list(itertools.takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))
    return [str(i) for i in range(len(listed_gpus()))]


def listed_gpus() -> list[str]:
    """The UUIDs of this machine's GPUs, in the driver's order, which is that of the PCI bus; [] without a driver."""
    if not shutil.which("nvidia-smi"):
        return []
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return re.findall(r"^GPU \d+:.*\(UUID: ([^)]*)\)", answer.stdout, flags=re.MULTILINE)


NETWORK = {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p", "fuse.sshfs", "glusterfs"}


def file_system(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds the path, as ext4 or nfs; '' where that cannot be known."""
    wanted = path.resolve()
    best, found = -1, ""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4].encode().decode("unicode_escape"))  # \\040 is a space
        if wanted.is_relative_to(point) and len(point.parts) >= best:
            best, found = len(point.parts), right.split()[0]
    return found


def oom_kills(memory_events: Path | None = None) -> int:
    """How often the kernel has ended a process of this cgroup, or of this machine, for want of memory."""
    try:
        if memory_events is None:
            group = Path("/proc/self/cgroup").read_text().partition("0::")[2].splitlines()[0]
            memory_events = Path(f"/sys/fs/cgroup{group}/memory.events")
        return _counter(memory_events, "oom_kill")
    except (OSError, ValueError, IndexError):
        pass  # no cgroup of version 2, or one that counts nothing
    try:
        return _counter(Path("/proc/vmstat"), "oom_kill")
    except (OSError, ValueError):
        return 0


def _counter(path: Path, name: str) -> int:
    """The number behind a name in a file of the kernel. ValueError if there is none."""
    for line in path.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    raise ValueError(name)


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
