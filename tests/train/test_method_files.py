"""The files of sweeps/methods: each fits the shipped teacher, trains, and costs what the plan says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook

from workbench import train
from workbench.config import ConfigError, instantiate, resolve
from workbench.distill import Start
from workbench.study import cost
from workbench.study.sweep_file import parse_sweep
from workbench.training.preflight import check_training

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "sweeps" / "methods").glob("*.yaml"))
BATCH = 2
# Every time of a grid is visited as often as any other, in warm-up and updates: what is counted is a mean.
SMALL: dict[str, dict[str, Any]] = {
    "step_distillation": {"model.trajectory.stages": [4, 2], "model.num_steps": 2},
    "lightning": {"model.trajectory.stages": [4, 2], "model.num_steps": 2},
    "lcm": {"model.trajectory.times": 4, "model.losses.reconstruction.target.skip": 0.3},
    "imagine_flash": {"model.num_steps": 4},
    "forward_distillation": {"model.num_steps": 4},
    "score_difference": {"model.num_steps": 4},
}


def small(file: Path, teacher: Path, updates: int = 2, **more: Any) -> dict[str, Any]:
    """The method on a tiny teacher: few updates, narrow heads, no picture."""
    overrides = {
        "teacher.path": str(teacher),
        "data.size": 20,
        "train.student_updates": updates,
        "train.batch_size": BATCH,
        "train.warmup_updates": 0,
        "train.threads": 1,
        "train.accelerator": "cpu",
        "train.reference_samples": 0,
        "train.sample_every": 0,
        "train.probe_every": 0,
        **SMALL.get(file.stem, {}),
        **more,
    }
    losses = resolve(file)["model"]["losses"]
    for name, loss in losses.items():
        if "critic_warmup" in loss["init_args"]:
            overrides |= {f"model.losses.{name}.critic_warmup": 4}
        if loss["class_path"] == "Adversarial":
            overrides |= {f"model.losses.{name}.width": 8}
    return resolve(file, overrides)


def test_every_method_of_the_issue_has_its_file_with_the_paper_in_it() -> None:
    assert {file.stem for file in FILES} >= {
        "add", "dmd2", "forward_distillation", "imagine_flash", "lcm", "lightning", "score_difference",
        "step_distillation",
    }  # fmt: skip
    for file in FILES:
        assert re.search(r"arXiv \d{4}\.\d{5}", file.read_text(encoding="utf-8")), file


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_fits_the_shipped_teacher_also_as_a_level_and_a_base_of_a_sweep(file: Path) -> None:
    resolved = resolve(file)
    check_training(instantiate(resolved))
    raw: dict[str, Any] = {
        "base": "base/wardrobe.yaml",
        "factors": {"method": {"mine": {"file": f"methods/{file.name}", "train.batch_size": 8}, "base": {}}},
        "baseline": {"method": "base"},
        "metrics": {"FD[judge]": "min"},
    }
    level = parse_sweep(raw, ROOT / "sweeps" / "study.yaml").factors[0].levels["mine"]
    assert resolve(ROOT / "sweeps" / "base" / "wardrobe.yaml", level) == resolve(file, {"train.batch_size": 8})


class Counter:
    """Passes of every UNet: a forward of one sample is 1, backward to weights 2 more, to the input alone 1 more."""

    def __init__(self) -> None:
        self.passes = 0.0

    def __call__(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if type(module).__name__ == "UNet2DConditionModel":
            self.passes += len(args[0])
        elif type(module).__name__.startswith("UNetMidBlock") and output.requires_grad:  # on the way to every head
            size = len(output) * (2 if any(p.requires_grad for p in module.parameters()) else 1)
            output.register_hook(lambda gradient: self._add(size))

    def _add(self, size: int) -> None:
        self.passes += size


@pytest.fixture
def counter() -> Iterator[Counter]:
    found = Counter()
    handle = register_module_forward_hook(found)
    yield found
    handle.remove()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_trains_with_finite_losses_and_costs_what_the_plan_says(
    file: Path, tiny_teacher_path: Path, tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Start, "draw_index", lambda start, power: start.random.step % len(start.timesteps))
    monkeypatch.setattr(cost, "HEADS", 0.0)  # no UNet
    staged = "stages" in str(resolve(file)["model"]["trajectory"])
    config = small(file, tiny_teacher_path, updates=8 if staged else 4)
    train.run(config, tmp_path, quiet=True)
    assert counter.passes == cost.training_passes(config)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    values = [v for row in rows for name, v in row.items() if name.startswith(("loss/", "critic_loss/"))]
    assert values and all(v is not None and math.isfinite(v) for v in values)
    assert rows[-1]["moved"] > 0 and rows[-1]["gradient_norm"] > 0


@pytest.mark.parametrize(
    "part",
    [
        {"model.losses.adversarial.game": "Relativistic"},
        {"model.trajectory": "AveragedBackward"},
        {"model.losses.reconstruction.target": {"class_path": "LimitedGuidanceTarget", "steps": 2}},
        {"model.losses.reconstruction.target": {"class_path": "FixedStepTarget", "size": 0.2}},
    ],
    ids=str,
)
def test_a_part_that_no_method_has_costs_what_the_plan_says(
    part: dict[str, Any], tiny_teacher_path: Path, tmp_path: Path, counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Start, "draw_index", lambda start, power: start.random.step % len(start.timesteps))
    monkeypatch.setattr(cost, "HEADS", 0.0)  # no UNet
    config = small(ROOT / "sweeps" / "methods" / "imagine_flash.yaml", tiny_teacher_path, updates=4, **part)
    train.run(config, tmp_path, quiet=True)
    assert counter.passes == cost.training_passes(config)


@pytest.mark.parametrize(
    ("name", "overrides", "says"),
    [
        (
            "step_distillation",
            {"model.sampler": "Renoise"},
            r"reconstruction: ProgressiveTarget inverts .*noise_correct",
        ),
        ("step_distillation", {"model.num_steps": 3}, r"model\.trajectory: Staged ends with 4 .*num_steps to \[4\]"),
        ("step_distillation", {"model.grid": "LogSNRGrid"}, r"model\.trajectory: Staged .*the same grid"),
        ("lightning", {"model.trajectory.stages": [16, 4]}, "each 2 times the next"),
        ("lcm", {"model.losses.reconstruction.target.skip": 1e-4}, "rounds to no time"),
        ("dmd2", {"model.losses.distribution.shift": "CalibratedShift"}, "without calibration"),
        ("lcm", {"data": {"class_path": "PromptFile", "path": str(ROOT / "LICENSE")}}, "real images are needed"),
    ],
)
def test_what_cannot_work_is_refused_before_training(name: str, overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_training(instantiate(resolve(ROOT / "sweeps" / "methods" / f"{name}.yaml", overrides)))


def test_a_method_of_four_steps_shows_its_four_steps(tiny_teacher_path: Path, tmp_path: Path) -> None:
    from PIL import Image

    file = ROOT / "sweeps" / "methods" / "forward_distillation.yaml"
    config = small(file, tiny_teacher_path, updates=1, **{"train.sample_every": 1, "train.sample_prompts": 2})
    train.run(config, tmp_path, quiet=True)
    assert Image.open(tmp_path / "samples" / "000001.png").size == (4 * 32, 2 * 32)  # 1, 2, 3 and 4 steps
