"""What a crash of the machine may leave: a checkpoint and a record of metrics that end anywhere.

A real training goes on from what is whole, says so once, and ends like the one that nobody disturbed.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.counts import count
from tests.reliability.trainings import Trainings, assert_equal_runs, config, saved_tick
from workbench.distill.checkpoint import LAST
from workbench.distill.recorder import METRICS

STUDENT = "student.safetensors"


def tear(trainee: Trainings, folder: Path, teacher: Path, tears: int) -> None:
    """Cut the newest checkpoint at so many places; every other time the record of metrics in its last line too."""
    settings = config(teacher, updates=3)
    trainee.finish(settings, folder / "calm")
    size = (folder / "calm" / LAST).stat().st_size
    draw = random.Random("tears")
    for number in range(tears):
        run = folder / f"torn{number}"
        shutil.copytree(folder / "calm", run)
        (run / STUDENT).unlink()  # as though it had been on its way to the end
        (run / LAST).write_bytes((run / LAST).read_bytes()[: draw.randrange(size)])
        if number % 2:
            lines = (run / METRICS).read_bytes().splitlines(keepends=True)
            (run / METRICS).write_bytes(b"".join(lines)[: -draw.randint(1, len(lines[-1]))])
        saved = saved_tick(run)
        assert saved is not None and saved > 0
        (started,) = trainee.start(settings, run)
        assert started.wait() == 0, started.log()
        assert started.log().count("damaged") == 1 and f"(tick {saved} of " in started.log(), started.log()
        assert_equal_runs(folder / "calm", run)


def test_two_torn_checkpoints_are_gone_on_from(trainee: Trainings, tmp_path: Path, tiny_teacher_path: Path) -> None:
    tear(trainee, tmp_path, tiny_teacher_path, 2)


@pytest.mark.slow
def test_two_hundred_torn_checkpoints_are_gone_on_from(
    trainee: Trainings, tmp_path: Path, tiny_teacher_path: Path, counted: Callable[[str], None]
) -> None:
    tears = count("TEARS", 200)
    tear(trainee, tmp_path, tiny_teacher_path, tears)
    counted(f"R3: {tears} trainings from torn checkpoints, {tears // 2} of them with a torn record too: all bit-equal")
