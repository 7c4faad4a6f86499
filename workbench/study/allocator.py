"""How the C library hands out memory to a cell: as to a process that has run for a while, from the start."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

MMAP_THRESHOLD = 32 << 20  # bytes: glibc's own upper bound on 64 bits
TRIM_THRESHOLD = 2 * MMAP_THRESHOLD
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def keep_freed_memory(environment: Mapping[str, str] | None = None) -> bool:
    """Let glibc keep freed blocks for the next tensor instead of giving each back to the kernel; True if it does now.

    glibc raises both thresholds by itself, to what the largest freed block asks for and at most to these values. A
    fresh process has not seen a large one: small blocks that are freed together go back to the kernel, which zeroes
    every page again when they are asked for again. Values of the user's (MALLOC_..._, GLIBC_TUNABLES) stay; without
    glibc nothing happens.
    """
    environment = os.environ if environment is None else environment
    theirs = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
    if any(name in environment for name in theirs) or "glibc.malloc." in environment.get("GLIBC_TUNABLES", ""):
        return False
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        _, mallopt = library.gnu_get_libc_version, library.mallopt  # musl has a mallopt that does nothing
    except (OSError, AttributeError):
        return False
    return mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD) == 1 and mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD) == 1
