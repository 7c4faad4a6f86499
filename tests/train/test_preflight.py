"""What cannot work is refused before anything starts: no folder is made, and no network is loaded."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.tiny import make_tiny_teacher
from workbench.config import ConfigError, instantiate, resolve
from workbench.evaluation.settings import read_settings
from workbench.sweep import main as sweep
from workbench.train import main as train
from workbench.training.preflight import check_training

OFFSET = "model.losses.reconstruction.target.shift"
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("no teacher", {"teacher.path": "/nowhere/teacher"}, r"teacher\.path: Teacher .*no such folder"),
    ("gamma below 1", {OFFSET: {"class_path": "OffsetShift", "offset": -0.4}}, r"reconstruction: .*gamma\(333\)"),
    ("grid of two", {"model.grid": {"class_path": "ExplicitGrid", "times": [1000, 500]}}, r"model\.grid: .*2 steps"),
    ("grid below T", {"model.grid": {"class_path": "ExplicitGrid", "times": [900, 500, 200]}, "model.num_steps": 3},
     r"model\.grid: .*T = 1000"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "overrides", "says"), CASES, ids=[case[0] for case in CASES])
def test_parts_that_do_not_fit_the_teacher(case: str, overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_training(instantiate(resolve({}, overrides)))


def test_epsilon_without_signal_at_T(tmp_path: Path) -> None:
    folder = make_tiny_teacher(tmp_path / "teacher", "epsilon", zero_terminal_snr=True)
    for file in folder.rglob("*.safetensors"):
        file.write_bytes(b"")  # it must not be read
    with pytest.raises(ConfigError, match=r"alpha_T = 0"):
        check_training(instantiate(resolve({"teacher": {"path": str(folder)}})))


def test_a_scheduler_that_is_none(tiny_teacher_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "teacher")
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text('{"_class_name": "Timetable"}')
    with pytest.raises(ConfigError, match="'Timetable', which diffusers does not have"):
        check_training(instantiate(resolve({"teacher": {"path": str(folder)}})))
    config.write_text("{")
    with pytest.raises(ConfigError, match="no valid JSON"):
        check_training(instantiate(resolve({"teacher": {"path": str(folder)}, "seed": 1})))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("accelerator", ["gpu", "cuda"])
def test_a_gpu_where_there_is_none(accelerator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tmp_path / "base.yaml"
    base.write_text("{}")
    run = tmp_path / "run"
    assert train(["--config", str(base), "--run-dir", str(run), "--train.accelerator", accelerator]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no visible GPU" in line
    assert not run.exists()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_images": 0}, "num_images must be at least 2"),
        ({"extractors": ["jduge"]}, "Did you mean judge"),
        ({"extractors": ["inception:/nowhere.pth"]}, "there is no /nowhere.pth"),
        ({"prompts": "nowhere.txt"}, "neither report nor tune"),
    ],
)
def test_an_evaluation_that_cannot_work(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_settings(resolve({"evaluation": settings}))


SWEEP = {
    "question": "What is refused?",
    "base": "base.yaml",
    "factors": {"shift": {"none": {OFFSET: "IdentityShift"}, "far": {}}},
    "baseline": {"shift": "none"},
    "metrics": {"FD[judge]": "min"},
}


@pytest.mark.parametrize(
    ("level", "says"),
    [
        ({"teacher.path": "/nowhere/teacher"}, "factors.shift.far: .*no such folder"),
        ({OFFSET: {"class_path": "OffsetShift", "offset": -0.4}}, r"factors.shift.far: .*gamma\(333\)"),
        ({"evaluation.extractors": ["jduge"]}, "factors.shift.far: .*Did you mean judge"),
    ],
    ids=["teacher", "gamma", "extractor"],
)
def test_a_sweep_refuses_the_level_before_the_first_cell(
    level: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = {**SWEEP, "factors": {"shift": {**SWEEP["factors"]["shift"], "far": level}}}  # type: ignore[index]
    (tmp_path / "base.yaml").write_text("{}")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    assert sweep([str(tmp_path / "study.yaml"), "--results", str(tmp_path / "results")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(says, line), line
    assert not list((tmp_path / "results").glob("*/*/*"))
