"""Lets every process of a hung group write where it stands."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

ANSWER_SECONDS = 0.3  # for one process to write its stacks


def dump_stacks(group: int, log: Path) -> None:
    """Ask each process of the group in turn, under a line of its own in the log: at once, their lines would mix.

    Only those that catch SIGUSR1, as faulthandler does, are asked: it ends every other one. A process that was stopped
    answers when it goes on. Where there is no /proc the whole group is asked.
    """
    members = group_members(group)
    if members is None:
        try:
            os.killpg(group, signal.SIGUSR1)
            os.killpg(group, signal.SIGCONT)
        except OSError:
            return  # it is gone
        time.sleep(1.0)
        return
    for pid in sorted(members):
        if not catches(pid, signal.SIGUSR1):
            continue
        try:
            with open(log, "a") as file:
                file.write(f"Stacks of process {pid}:\n")
            os.kill(pid, signal.SIGUSR1)
            os.kill(pid, signal.SIGCONT)
        except OSError:
            continue  # it is gone, or the disk is full: the others are asked all the same
        time.sleep(ANSWER_SECONDS)


def group_members(group: int) -> list[int] | None:
    """The processes of a group; None where that cannot be known."""
    if not Path("/proc/self/stat").exists():
        return None
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[2]) == group and fields[0] not in "ZX":
                found.append(int(entry.name))
    return found


def catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for the signal."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    caught = next((line.split()[1] for line in lines if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)
