"""Two gloo processes, started by Lightning, against one process with the same global batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file

from tests.tiny import make_tiny_teacher

UPDATES = 10


def config(teacher: Path) -> dict:
    """Discriminator and EMA on; plain SGD, whose steps are linear in the gradient."""
    target = {"class_path": "TeacherTarget", "steps": 2}
    return {
        "teacher": {"path": str(teacher)},
        "data": {"class_path": "Wardrobe", "size": 200},
        "model": {
            "losses": {
                "reconstruction": {"class_path": "Reconstruction", "target": target},
                "adversarial": {"class_path": "Adversarial", "gradient_ratio": 0.3, "critic_warmup": 2, "width": 16},
            },
        },
        "train": {
            "student_updates": UPDATES, "batch_size": 8, "learning_rate": 1e-2, "optimizer": "SGD",
            "accelerator": "cpu", "threads": 1, "sample_every": 0, "probe_every": 0, "reference_samples": 0,
        },
    }  # fmt: skip


def train(folder: Path, teacher: Path, devices: int) -> None:
    folder.mkdir()
    (folder / "given.yaml").write_text(yaml.safe_dump(config(teacher)))
    worker = Path(__file__).with_name("ddp_worker.py")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, str(worker), str(folder / "given.yaml"), str(folder), str(devices)],
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).norm() / b.double().norm())


def test_two_processes_train_the_student_that_one_trains(tmp_path: Path) -> None:
    # v prediction: epsilon prediction of a random network gives x0 of size 15, close to its own target, and the
    # subtraction would amplify float32's rounding fiftyfold.
    teacher = make_tiny_teacher(tmp_path / "teacher", "v_prediction")
    train(tmp_path / "one", teacher, 1)
    train(tmp_path / "two", teacher, 2)
    first = [torch.load(tmp_path / name / "gradient0.pt", weights_only=True) for name in ("two", "one")]
    assert relative(*first) < 1e-6
    two, one = (load_file(tmp_path / name / "student.safetensors") for name in ("two", "one"))
    flat_two, flat_one = (torch.cat([w[name].flatten() for name in sorted(one)]) for w in (two, one))
    assert relative(flat_two, flat_one) < 1e-5
    rows = [len((tmp_path / name / "metrics.jsonl").read_text().splitlines()) for name in ("two", "one")]
    assert rows == [UPDATES + 2] * 2  # one writer, and the warm-up ticks
    print(f"first gradient {relative(*first):.2e}, students after {UPDATES} updates {relative(flat_two, flat_one):.2e}")
    moved = torch.load(tmp_path / "one" / "last.ckpt", weights_only=True)["student"]
    start = load_file(teacher / "unet" / "diffusion_pytorch_model.safetensors")
    distance = torch.stack([(moved[f"unet.{name}"] - value).norm() for name, value in start.items()]).norm()
    assert distance > 1e-2, "nothing was learnt: the equality above would mean nothing"
