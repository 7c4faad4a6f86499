"""Many runs started at the same moment: each has a folder of its own, and a folder has one owner."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.reliability.counts import count
from tests.reliability.trainings import ROOT, Trainings, assert_equal_runs, config
from workbench.training.command import default_run_dir

OWN = """
import sys, time
from pathlib import Path
from workbench.training.errors import RunFolderError
from workbench.training.guards import owned
sys.stdin.readline()
try:
    with owned(Path(sys.argv[1])):
        print("mine", flush=True)
        sys.stdin.readline()
except RunFolderError as error:
    print("in use" if "in use" in str(error) else error, flush=True)
"""


def test_of_sixteen_owners_of_a_folder_one_gets_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWN, str(tmp_path / "run")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(16)]  # type: ignore[call-overload]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = Counter(process.stdout.readline().strip() for process in processes)
    for process in processes:
        process.communicate("\n")
    assert answers == {"mine": 1, "in use": 15}


def test_every_configuration_has_a_folder_of_its_own(tiny_teacher_path: Path) -> None:
    runs = [{**config(tiny_teacher_path), "seed": seed} for seed in range(16)]
    assert len({default_run_dir(Path("base.yaml"), run) for run in runs}) == 16


@pytest.mark.slow
def test_sixteen_trainings_at_once(
    trainee: Trainings, tmp_path: Path, tiny_teacher_path: Path, counted: Callable[[str], None]
) -> None:
    """The command itself, which nobody tells a folder: each makes its own. Four more are the same run as the first: one
    of these five trains, and the others are told that it does."""
    starts, more = count("STARTS", 16), 4
    settings = [{**config(tiny_teacher_path, updates=2), "seed": seed} for seed in range(starts)]
    (tmp_path / "files").mkdir()
    for seed, one in enumerate(settings):
        (tmp_path / "files" / f"base{seed}.yaml").write_text(yaml.safe_dump(one))
    runs = [0] * more + list(range(starts))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "workbench.train", "--config", f"files/base{seed}.yaml", "--quiet"],
            cwd=tmp_path, env=environment, **pipes,  # type: ignore[call-overload]
        )
        for seed in runs
    ]  # fmt: skip
    said = [one.communicate(timeout=900)[0] for one in started]
    answers = [one.returncode for one in started]
    # Whoever came after the end of the first found it finished, which is no error either.
    assert set(answers[: more + 1]) <= {0, 2} and 0 in answers[: more + 1], said[: more + 1]
    assert all("in use by another process" in text for text, answer in zip(said, answers, strict=True) if answer)
    assert answers[more + 1 :] == [0] * (starts - 1), said
    folders = sorted(path.parent for path in (tmp_path / "results" / "runs").glob("*/student.safetensors"))
    wanted = {tmp_path / default_run_dir(Path(f"base{seed}.yaml"), one) for seed, one in enumerate(settings)}
    assert set(folders) == wanted and len(folders) == starts
    assert len({(folder / "student.safetensors").read_bytes() for folder in folders}) == starts
    trainee.finish(settings[0], tmp_path / "alone")
    assert_equal_runs(tmp_path / "alone", next(f for f in folders if f.name.startswith("base0-")))
    refused = answers.count(2)
    counted(
        f"R14: {starts} runs and {more} starts of one of them again at once: {len(folders)} folders, {refused} refused"
    )
