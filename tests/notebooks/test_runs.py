"""Trainings of a notebook: once, and again only if something changed."""

import dataclasses
from typing import Any, ClassVar

import pytest

from workbench.notebook.runs import trained

SMALL = {
    "train.student_updates": 1,
    "train.batch_size": 2,
    "train.accelerator": "cpu",
    "train.sample_every": 0,
    "train.probe_every": 0,
    "train.reference_samples": 0,
    "data": {"class_path": "Wardrobe", "size": 20},
    "model.num_steps": [1],
    "model.sampler.noise_correction": False,
    "model.losses.reconstruction.target.steps": 1,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def test_the_same_run_is_not_repeated_and_another_one_has_its_own_folder(tiny_teacher, root):
    config, run = trained("small", {}, SMALL, tiny_teacher, root)
    assert config["train"]["student_updates"] == 1
    weights = run / "student.safetensors"
    written = weights.stat().st_mtime_ns
    assert trained("small", {}, SMALL, tiny_teacher, root)[1] == run
    assert weights.stat().st_mtime_ns == written
    _, other = trained("small", {}, {**SMALL, "train.learning_rate": 5e-4}, tiny_teacher, root)
    assert other != run and other.parent == run.parent


def test_how_it_is_scored_does_not_train_again(tiny_teacher, root):
    _, run = trained("small", {}, SMALL, tiny_teacher, root)
    assert trained("small", {}, {**SMALL, "evaluation.num_inference_steps": 2}, tiny_teacher, root)[1] == run


def test_a_teacher_with_other_weights_is_another_run(tiny_teacher, root, monkeypatch):
    _, run = trained("small", {}, SMALL, tiny_teacher, root)
    monkeypatch.setattr("workbench.notebook.runs.Run", Idle)
    Idle.folders.clear()
    other: Any = Stand(tiny_teacher.path, "0" * 64)
    assert trained("small", {}, SMALL, other, root)[1] != run
    assert len(Idle.folders) == 1 and run not in Idle.folders


@dataclasses.dataclass
class Stand:
    path: object
    sha256: str


class Idle:
    """A run that only says where it would be."""

    folders: ClassVar[list] = []

    def __init__(self, config, folder, quiet):
        self.folders.append(folder)

    def train(self):
        pass
