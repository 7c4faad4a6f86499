"""Two gloo processes, started by Lightning, against one process with the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.tiny import make_tiny_teacher
from workbench.models import load_teacher

UPDATES = 10


def config(teacher: str, precision: str) -> dict:
    """Discriminator and EMA on; plain SGD, whose steps are linear in the gradient."""
    target = {"class_path": "TeacherTarget", "steps": 2}
    return {
        "teacher": {"path": teacher},
        "data": {"class_path": "Wardrobe", "size": 200},
        "model": {
            "losses": {
                "reconstruction": {"class_path": "Reconstruction", "target": target},
                "adversarial": {"class_path": "Adversarial", "gradient_ratio": 0.3, "critic_warmup": 2, "width": 16},
            },
        },
        "train": {
            "student_updates": UPDATES, "batch_size": 8, "learning_rate": 1e-1, "optimizer": "SGD",
            "accelerator": "cpu", "threads": 1, "precision": precision,
            "sample_every": 0, "probe_every": 0, "reference_samples": 0,
        },
    }  # fmt: skip


def methods(teacher: str) -> dict:
    """What has networks or memories of its own: a fake score, an average to be consistent with, stages; and a shift
    and a guidance that are drawn for each sample."""
    target = {"class_path": "ConsistencyTarget", "guidance": [1.0, 3.0], "decay": 0.8}
    fake = {"class_path": "DistributionMatching", "critic_updates": 2, "critic_warmup": 2, "guidance": 2.0}
    given = config(teacher, "64-true")
    return given | {
        "model": {
            "num_steps": [2],
            "trajectory": {"class_path": "Staged", "stages": [4, 2]},
            "losses": {"consistency": {"class_path": "Reconstruction", "target": target}, "distribution": fake},
        },
    }


def train(folder: Path, given: dict, devices: int) -> None:
    folder.mkdir()
    (folder / "given.yaml").write_text(yaml.safe_dump(given))
    worker = Path(__file__).with_name("ddp_worker.py")
    done = subprocess.run(
        [sys.executable, str(worker), str(folder / "given.yaml"), str(folder), str(devices)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


@pytest.mark.parametrize(("name", "precision"), [("tiny", "32-true"), ("wardrobe", "64-true")])
def test_two_processes_train_the_student_that_one_trains(tmp_path: Path, name: str, precision: str) -> None:
    """Float32 rounds differently for another batch size. With v prediction that stays below the bound; epsilon
    prediction amplifies it in x0 by 1 / alpha_T, and the nearness of x0 and target again (6e-6 in the gradient). There
    the passes are made in float64, so that what is compared is the training and not the rounding.
    """
    teacher = str(make_tiny_teacher(tmp_path / "teacher", "v_prediction")) if name == "tiny" else name
    train(tmp_path / "one", config(teacher, precision), 1)
    train(tmp_path / "two", config(teacher, precision), 2)
    first = [torch.load(tmp_path / run / "gradient0.pt", weights_only=True) for run in ("two", "one")]
    assert relative(*first) < 1e-6
    two, one = (load_file(tmp_path / run / "student.safetensors") for run in ("two", "one"))
    flat_two, flat_one = (torch.cat([w[key].flatten() for key in sorted(one)]) for w in (two, one))
    assert relative(flat_two, flat_one) < 1e-5
    rows = [len((tmp_path / run / "metrics.jsonl").read_text().splitlines()) for run in ("two", "one")]
    assert rows == [UPDATES + 2] * 2  # one writer, and the warm-up ticks
    print(f"first gradient {relative(*first):.2e}, students after {UPDATES} updates {relative(flat_two, flat_one):.2e}")
    moved = torch.load(tmp_path / "one" / "last.ckpt", weights_only=True)["student"]
    unet = load_teacher(teacher).denoiser.named_parameters()
    distance = torch.stack([(moved[key] - value).norm() for key, value in unet]).norm()
    assert distance > 1e-2, "nothing was learnt: the equality above would mean nothing"


def flat(value: Any) -> torch.Tensor:
    """Every floating tensor in nested dicts and lists, in order."""
    if isinstance(value, torch.Tensor):
        return value.flatten().double() if value.is_floating_point() else torch.zeros(0, dtype=torch.float64)
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return torch.cat([torch.zeros(0, dtype=torch.float64), *map(flat, items)])


def test_two_processes_keep_the_networks_and_memories_of_the_methods(tmp_path: Path) -> None:
    """In float64, so that what differs is the training: student, its averages, the fake score and its moments."""
    given = methods(str(make_tiny_teacher(tmp_path / "teacher")))
    for name, devices in (("one", 1), ("two", 2)):
        train(tmp_path / name, given, devices)
    two, one = (torch.load(tmp_path / run / "last.ckpt", weights_only=True) for run in ("two", "one"))
    for part in ("student", "ema", "copies", "losses"):
        assert relative(flat(two[part]), flat(one[part])) < 1e-9, part
    first = load_teacher(given["teacher"]["path"]).denoiser.state_dict()
    for name, of in (("student", lambda c: c["student"]), ("fake", lambda c: c["losses"]["distribution"]["network"])):
        start = torch.cat([first[key].flatten().double() for key in of(one)])
        ours, theirs = (torch.cat([of(c)[key].flatten().double() for key in of(c)]) - start for c in (two, one))
        assert theirs.norm() > 1e-4 * start.norm(), f"{name}: nothing was learnt: the equality would mean nothing"
        assert relative(ours, theirs) < 1e-6, name  # of the movement; epsilon prediction amplifies rounding
        print(f"{name} moved by {theirs.norm() / start.norm():.1e}, relative difference {relative(ours, theirs):.1e}")
    rows = [json.loads(line) for line in (tmp_path / "one" / "metrics.jsonl").read_text().splitlines()]
    assert {row["num_steps"] for row in rows} == {4, 2}, "both stages"
