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
from workbench.evaluation.settings import check_measured, read_settings
from workbench.metrics.extractors import check_extractor, make_extractor
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
        ({"evaluation.clip": "/nowhere/clip"}, "factors.shift.far: evaluation.clip: no CLIPModel.*at /nowhere/clip"),
        (
            {"model.grid": {"class_path": "ExplicitGrid", "times": [1000, 500]}, "model.num_steps": 2},
            "factors.shift.far: evaluation.num_inference_steps: ExplicitGrid .* has 2 steps, but 3 were asked for",
        ),
        ({"evaluation.guidance_scale": 2.0}, "factors.shift.far: evaluation.guidance_scale is the teacher's"),
        ({"evaluation.solver": "DDIM"}, "factors.shift.far: evaluation.solver is the teacher's.*under references"),
        (
            {OFFSET: {"class_path": "TableShift", "times": [1001], "levels": [5]}},
            r"factors.shift.far: .*at most the schedule's T = 1000",
        ),
    ],
    ids=["teacher", "gamma", "extractor", "clip", "grid", "guidance", "solver", "table"],
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


@pytest.mark.parametrize(
    ("metric", "settings", "says"),
    [
        ("FD[judge]", {}, ""),
        ("recall[judge]", {}, ""),
        ("saturation", {}, ""),
        ("align/complex", {}, ""),
        ("CLIP[wardrobe]", {}, ""),
        ("FD[efficientnet-lite0]", {}, "the evaluations have the features of judge"),
        ("FD[efficientnet-lite0]", {"extractors": ["judge", "efficientnet-lite0"]}, ""),
        ("diversity[judge]", {"extractors": []}, "no extractor"),
        ("FID", {}, "the features of judge"),
        ("FID", {"extractors": ["inception:/weights.pth"]}, ""),
        ("precision[inception-2015-12-05]", {"extractors": ["inception:/weights.pth"]}, ""),
        ("FID[clean-fid]", {"extractors": ["clean-fid:/folder"]}, ""),
        ("FD[CLIP wardrobe]", {"extractors": ["clip:wardrobe"]}, ""),
        ("CLIP[ViT-B-32]", {"clip": "openai/ViT-B-32"}, ""),
        ("CLIP[ViT-B-32]", {}, r"measure CLIP\[wardrobe\]"),
    ],
)
def test_a_metric_that_no_evaluation_measures(metric: str, settings: dict[str, Any], says: str) -> None:
    whole = {"extractors": ["judge"], "clip": None, **settings}
    if not says:
        check_measured(metric, whole)
        return
    with pytest.raises(ValueError, match=says):
        check_measured(metric, whole)


def test_a_sweep_asks_for_what_it_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = {**SWEEP, "metrics": {"FD[judge]": "min", "recall[efficientnet-lite0]": "max"}}
    raw["factors"] = {"shift": {**SWEEP["factors"]["shift"], "far": {"seed": 3}}}  # type: ignore[index]
    (tmp_path / "base.yaml").write_text("{}")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    assert sweep([str(tmp_path / "study.yaml"), "--plan", "--results", str(tmp_path / "results")]) == 2
    assert re.search(r"study\.yaml, metrics: recall\[efficientnet-lite0\]: .*judge", capsys.readouterr().err)


def test_labels_are_the_extractors_names() -> None:
    for spec in ("judge", "clip:wardrobe"):
        cls, argument = check_extractor(spec)
        assert cls.label(argument or "") == make_extractor(spec).name
