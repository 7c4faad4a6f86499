"""A training that is killed at any moment, again and again, ends bit for bit like the one that nobody disturbed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.reliability.counts import count
from tests.reliability.trainings import Trainings, assert_equal_runs, config

CHAIN = 3  # resumes of one run


def calm(trainee: Trainings, settings: dict[str, Any], folder: Path) -> float:
    """Train undisturbed; returns the seconds that it took."""
    began = time.monotonic()
    trainee.finish(settings, folder)
    return time.monotonic() - began


def kill_often(trainee: Trainings, settings: dict[str, Any], calm_run: Path, seconds: float, kills: int) -> int:
    """Kill runs until there were so many kills, up to three in each, compare each; returns the number of runs."""
    draw = random.Random(f"kills of {settings['train']['devices']} ranks")
    done = runs = 0
    while done < kills:
        runs += 1
        folder = calm_run.with_name(f"killed{runs}")
        # Half of the runs save after every update, half seldom, so that they have something to repeat.
        minutes = draw.choice([0, seconds / 120])
        chosen = {**settings, "train": {**settings["train"], "checkpoint_minutes": minutes}}
        for _ in range(min(draw.randint(1, CHAIN), kills - done)):
            done += trainee.kill(chosen, folder, draw.uniform(0.0, seconds))
        trainee.finish(chosen, folder)
        assert_equal_runs(calm_run, folder)
        assert not list(folder.rglob(".tmp*")), "what the killed ones were writing"
    return runs


@pytest.mark.parametrize("ranks", [1, 2])
def test_two_kills_of_a_training_change_nothing(
    trainee: Trainings, tmp_path: Path, tiny_teacher_path: Path, ranks: int
) -> None:
    settings = config(tiny_teacher_path, updates=3, devices=ranks)
    seconds = calm(trainee, settings, tmp_path / "calm")
    kill_often(trainee, settings, tmp_path / "calm", seconds, 2)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_hundred_kills_of_trainings_change_nothing(
    trainee: Trainings, tmp_path: Path, tiny_teacher_path: Path, ranks: int, counted: Callable[[str], None]
) -> None:
    settings = config(tiny_teacher_path, devices=ranks)
    seconds = calm(trainee, settings, tmp_path / "calm")
    kills = count("KILLS", 100) // 2
    runs = kill_often(trainee, settings, tmp_path / "calm", seconds, kills)
    counted(f"R1: {kills} kills of trainings of {ranks} processes, {runs} runs, chains to {CHAIN}: all bit-equal")
