"""What a failure is called: out of memory in every way in which torch, numpy and the system say it, and what is not."""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from workbench.study.child import classify
from workbench.study.files import DiskFullError
from workbench.study.launch import _outcome
from workbench.study.surroundings import oom_kills

HUGE = 2**50


def caught(action: Callable[[], object]) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("it had the memory")


def chained() -> None:
    try:
        bytearray(HUGE)
    except MemoryError as error:
        raise RuntimeError("while rendering") from error


def test_what_has_no_memory_says_so_in_its_own_words() -> None:
    """Real allocations of a petabyte, and the error of a GPU, which this machine may not have."""
    for action in (lambda: torch.empty(HUGE), lambda: np.empty(HUGE), lambda: bytearray(HUGE)):
        error = caught(action)
        assert classify(error)[0] == "oom", error
    gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert classify(gpu) == ("oom", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.")
    assert classify(caught(chained))[0] == "oom", "the reason behind it counts"


def test_other_failures_are_called_otherwise() -> None:
    assert classify(OSError(errno.ENOSPC, "No space left on device"))[0] == "disk full"
    assert classify(DiskFullError("x"))[0] == "disk full"
    assert classify(OSError(errno.EROFS, "Read-only file system"))[0] == "disk"
    assert classify(ValueError("shapes differ")) == ("error", "ValueError: shapes differ")


def test_a_kill_is_the_systems_where_it_has_counted_one(tmp_path: Path) -> None:
    kill = -signal.SIGKILL
    assert _outcome(kill, tmp_path, False, short_of_memory=True).kind == "oom"
    assert _outcome(kill, tmp_path, False, short_of_memory=False).kind == "killed"
    events = tmp_path / "memory.events"
    events.write_text("low 0\nhigh 3\nmax 12\noom 2\noom_kill 7\noom_group_kill 0\n")
    assert oom_kills(events) == 7
    assert oom_kills() >= 0
