"""Who works on a cell, and whether they still live: the file `alive`."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workbench.study.files import read_json, write_json

LEASE_SECONDS = 30.0  # a lease that was not renewed for so long is void
RENEW_SECONDS = 1.0


@dataclass(frozen=True)
class Owner:
    """A process of some machine. start tells a process from a later one with the same number."""

    host: str
    boot: str
    namespace: str
    pid: int
    start: str


def myself() -> Owner:
    """This process."""
    return Owner(socket.gethostname(), _boot(), _namespace(), os.getpid(), _start(os.getpid()))


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start(pid: int) -> str:
    """When the process began, in clock ticks; '' for a process that is gone or waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def known_dead(owner: Owner) -> bool:
    """Whether the owner is a process of this very machine that no longer exists. False where that cannot be known."""
    here = myself()
    if not owner.boot or (owner.host, owner.boot, owner.namespace) != (here.host, here.boot, here.namespace):
        return False
    return _start(owner.pid) != owner.start


def take(folder: Path, token: str) -> None:
    """Write `alive`: this process holds the cell, under this token."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "alive", {"token": token, **asdict(myself())}, durable=False)


def renew(folder: Path) -> None:
    """Say that the holder still lives."""
    try:
        os.utime(folder / "alive")
    except FileNotFoundError:
        pass  # taken away together with its folder: the next claim writes it anew


def holder(folder: Path) -> tuple[str, Owner] | None:
    """The token and owner that `alive` names, None where nobody is named."""
    raw: Any = read_json(folder / "alive")
    try:
        return str(raw["token"]), Owner(raw["host"], raw["boot"], raw["namespace"], int(raw["pid"]), raw["start"])
    except (TypeError, KeyError, ValueError):
        return None


def is_held(folder: Path, token: str, clock: Path, seconds: float = LEASE_SECONDS) -> bool:
    """Whether the holder of this token lives: named in `alive`, renewed within `seconds`, not known to be dead.

    clock: a file in the same file system that is touched to learn the time of the server that stamps the files; nodes'
    own clocks may differ by more than a lease.
    """
    named = holder(folder)
    if named is None or named[0] != token or known_dead(named[1]):
        return False
    try:
        clock.touch()
        return clock.stat().st_mtime - (folder / "alive").stat().st_mtime < seconds
    except FileNotFoundError:
        return False
