"""A training whose further rank dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

FIRST_RANK = """
import os, subprocess, sys, time
from workbench.training.lost_ranks import ends_with_its_ranks
with ends_with_its_ranks(lambda: ranks):
    ranks = []
    ranks += [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) for _ in range(2)]
    print(*(rank.pid for rank in ranks), flush=True)
    if len(sys.argv) > 1:
        os.kill(ranks[0].pid, int(sys.argv[1]))
        if len(sys.argv) > 2:
            raise RuntimeError("Connection reset by peer")
        time.sleep(60)
    ranks += [subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])]
    ranks[2].wait()
    time.sleep(1)
ranks[0].kill()  # nobody looks any more
ranks[0].wait()
ranks[1].kill()
time.sleep(1)
"""


def start(*arguments: object) -> tuple[subprocess.CompletedProcess[str], float]:
    began = time.monotonic()
    command = [sys.executable, "-c", FIRST_RANK, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    return done, time.monotonic() - began


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGSEGV, 128 + signal.SIGSEGV)]
)
@pytest.mark.parametrize("more", [(), ("error",)], ids=["waiting", "missed"])
def test_the_others_die_of_what_one_of_them_died_of(number: signal.Signals, status: int, more: tuple[str, ...]) -> None:
    done, seconds = start(int(number), *more)  # to the end of its output, which the further ranks hold open as well
    dead = done.stdout.split()[0]
    assert done.returncode == status and seconds < 30
    assert done.stderr == f"Rank process {dead} died of {number.name}; the training ends here.\n"


def test_a_rank_that_ends_by_itself_or_after_the_training_ends_nothing() -> None:
    done, _ = start()
    assert done.returncode == 0 and not done.stderr
