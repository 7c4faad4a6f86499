"""Which GPUs of this machine a sweep has. No two sweeps of one user get the same one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from workbench.study.errors import SweepError
from workbench.study.locks import FileLock
from workbench.study.surroundings import listed_gpus


class Gpus:
    """Groups of the visible GPUs, for one launching process among any number of them.

    A taken GPU is a lock on a file in a folder of this user, in the machine's temporary one: the kernel lets go of it
    when the process ends, however it ends. Other users' sweeps, and what is no sweep, are not seen.

    visible: names as CUDA_VISIBLE_DEVICES takes them; a GPU that is named twice counts once. each: GPUs of a group.
    """

    def __init__(self, visible: Sequence[str], each: int, folder: Path | None = None) -> None:
        self._names = _by_device(visible)
        self._each = each
        self._folder = folder or Path(tempfile.gettempdir()) / f"workbench-gpus-{os.getuid()}"
        self._held: dict[str, FileLock] = {}  # name of the GPU -> its lock
        self.groups = len(self._names) // each
        if self.groups:
            _make_private(self._folder)

    def take(self) -> tuple[str, ...] | None:
        """The first free GPUs that make a group, in the order and by the names in which they are listed, or None."""
        with FileLock(self._folder / "lock"):  # or two sweeps could take half a group each
            taken: dict[str, FileLock] = {}
            for device, name in self._names.items():
                lock = FileLock(self._folder / quote(device, safe="")[:200])
                if name not in self._held and lock.acquire(wait=False):
                    taken[name] = lock
                if len(taken) == self._each:
                    self._held.update(taken)
                    return tuple(taken)
            for lock in taken.values():
                lock.release()
            return None

    def give_back(self, group: Sequence[str]) -> None:
        """Let others have these GPUs."""
        for name in group:
            self._held.pop(name).release()


def _by_device(names: Sequence[str]) -> dict[str, str]:
    """Device -> the first name of it. '0' and 'GPU-5aa' may be one GPU, and only the driver knows."""
    known = listed_gpus() if names else []
    found: dict[str, str] = {}
    for name in names:
        device = name
        if name.isdecimal() and int(name) < len(known):
            device = known[int(name)]
        elif len(matching := [uuid for uuid in known if uuid.startswith(name)]) == 1:
            device = matching[0]
        found.setdefault(device, name)
    return found


def _make_private(folder: Path) -> None:
    """Make the folder, for this user alone. SweepError if it is somebody else's, or open to others."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        state = folder.lstat()
    except OSError as error:
        raise SweepError(f"{folder}: cannot be made ({error.strerror}). Name another place with TMPDIR.") from error
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise SweepError(
            f"{folder}: must be a folder of yours that nobody else can open (0700): your sweeps say there which GPUs "
            "they have. Remove it, or name another place with TMPDIR."
        )
