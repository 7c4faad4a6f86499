"""What keep_freed_memory does, counted by the kernel in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workbench.study.allocator import keep_freed_memory

# As small activations are: many blocks, written, freed together, and asked for again.
ROUNDS = """
import ctypes, resource, sys
from workbench.study.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory({})
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [c.malloc(100_000) for _ in range(200)]
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    for block in blocks:
        c.free(ctypes.c_void_p(block))
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(way: str) -> int:
    done = subprocess.run([sys.executable, "-c", ROUNDS, way], capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of glibc")
def test_memory_that_was_freed_is_not_fetched_again() -> None:
    plain, kept = _page_faults("plain"), _page_faults("kept")
    assert kept < plain / 5, (kept, plain)  # of 20 rounds, one


@pytest.mark.parametrize(
    "theirs",
    [
        {"MALLOC_TRIM_THRESHOLD_": "131072"},
        {"MALLOC_MMAP_THRESHOLD_": "131072"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=131072"},
    ],
    ids=lambda theirs: next(iter(theirs)),
)
def test_what_the_user_has_set_stays(theirs: dict[str, str]) -> None:
    assert keep_freed_memory(theirs) is False
