"""A sweep of real trainings and evaluations whose workers, fork servers and launching processes are killed."""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.evaluate import conftest as evaluation
from tests.reliability.counts import count
from tests.reliability.test_killed_sweeps import assert_each_cell_once, kill_at_random, tables
from tests.reliability.test_real_ranks import finish, start
from tests.reliability.trainings import assert_equal_runs, config
from tests.study.engine import root_of, until
from workbench.study import plan as plans

tiny_clip_path = evaluation.tiny_clip_path  # a fixture of another room


def write(folder: Path, teacher: Path) -> Path:
    """Two arms, two seeds."""
    folder.mkdir()
    settings = config(teacher)
    settings["evaluation"] |= {"num_images": 8, "batch_size": 8}
    (folder / "base.yaml").write_text(yaml.safe_dump(settings))
    factors = {"rate": {"slow": {}, "fast": {"train.learning_rate": 1e-3}}}
    raw = {"question": "Does it survive?", "base": "base.yaml", "factors": factors, "baseline": {"rate": "slow"},
           "seeds": 2, "metrics": {"FD[judge]": "min"}, "run": {"retries": 0}}  # fmt: skip
    (folder / "real.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return folder / "real.yaml"


@pytest.mark.slow
def test_kills_of_a_real_sweep_change_no_bit(
    tmp_path: Path, tiny_teacher_path: Path, tiny_clip_path: Path, counted: Callable[[str], None]
) -> None:
    def begin(path: Path) -> subprocess.Popen[str]:
        process = start(path, tiny_clip_path, workers=2)
        plan = root_of(path) / "plan.json"
        until(lambda: plan.exists() or process.poll() is not None, seconds=300)  # before, there is nothing to lose
        return process

    calm = write(tmp_path / "calm", tiny_teacher_path)
    finish(start(calm, tiny_clip_path, workers=2), calm)
    kills = count("REAL_SWEEP_KILLS", 10)
    done: Counter[str] = Counter()
    draw, rounds = random.Random(kills), 0
    while done.total() < kills:
        rounds += 1
        path = write(tmp_path / f"killed{rounds}", tiny_teacher_path)
        done += kill_at_random(path, kills - done.total(), draw, begin, seconds=6)
        finish(start(path, tiny_clip_path, workers=2), path)
        assert assert_each_cell_once(path) == 4
        assert tables(path) == tables(calm)
        for cell in plans.load(root_of(path)).cells:
            assert_equal_runs(root_of(calm) / cell.folder, root_of(path) / cell.folder, state=False)
    counted(f"R2: {done.total()} kills of a sweep of real trainings ({dict(done)}): students and tables equal")
