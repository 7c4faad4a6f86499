"""workbench.train and workbench.sweep on a folder of which one image in a hundred is broken."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.world.broken import cut, file_of, garble, image_folder
from workbench.config import load_yaml
from workbench.study.planning import make_plan
from workbench.study.sweep_file import read_sweep
from workbench.sweep import _real_resolve
from workbench.sweep import main as sweep
from workbench.train import main as train

ROOT = Path(__file__).parents[2]
BROKEN = {17: garble, 40: cut}
NAMES = ["0017.png", "0040.jpg"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))


def given(folder: Path, teacher: Path, images: Path, **settings: Any) -> list[str]:
    """A training of three updates that reads most of 200 images."""
    raw = {
        "teacher": {"path": str(teacher)},
        "data": {"class_path": "ImageFolder", "path": str(images), "size": 32},
        "model": {"trajectory": "Forward"},
        "train": {
            "student_updates": 3, "batch_size": 50, "accelerator": "cpu", "threads": 1, "warmup_updates": 1,
            "checkpoint_minutes": 0, "sample_every": 0, "probe_every": 0, "reference_samples": 0, **settings,
        },
    }  # fmt: skip
    (folder / "given.yaml").write_text(yaml.safe_dump(raw))
    return ["--config", str(folder / "given.yaml"), "--quiet"]


def damaged(folder: Path) -> Path:
    images = image_folder(folder / "images", 200)
    for index, damage in BROKEN.items():
        damage(file_of(images, index))
    return images


def weights(run: Path) -> torch.Tensor:
    found = load_file(run / "student.safetensors")
    return torch.cat([found[name].flatten() for name in sorted(found)])


def test_a_training_names_them_all_and_starts_nothing(
    tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*given(tmp_path, tiny_teacher_path, damaged(tmp_path)), "--run-dir", str(tmp_path / "runs" / "run")]
    assert train(words) == 65
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "2 of 200 images" in error and "--quarantine" in error
    assert [line.partition(":")[0].strip() for line in error.splitlines()[1:]] == NAMES
    assert not (tmp_path / "runs").exists()


def test_a_training_without_them_is_that_of_the_images_that_stand_in_for_them(
    tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same as if the next sound image had been copied over the broken one; a stop in between changes nothing."""
    images = damaged(tmp_path)
    words = given(tmp_path, tiny_teacher_path, images)
    run = tmp_path / "run"
    assert train([*words, "--run-dir", str(run), "--quarantine"]) == 0
    assert "2 of 200 images cannot be read, and are left out" in capsys.readouterr().err
    assert load_yaml(run / "config.yaml")["data"]["init_args"]["quarantine"] == NAMES

    halved = tmp_path / "halved"
    halved.mkdir()
    (halved / "STOP").touch()
    assert train([*words, "--run-dir", str(halved), "--quarantine"]) == 75
    (halved / "STOP").unlink()
    shutil.copy(file_of(images, 16), file_of(images, 40))  # mended while the run was stopped: it goes on without
    assert train([*words, "--run-dir", str(halved), "--quarantine"]) == 0
    assert torch.equal(weights(halved), weights(run))

    twin = image_folder(tmp_path / "twin", 200)
    captions = (twin / "metadata.jsonl").read_text()
    for index, name in zip(BROKEN, NAMES, strict=True):
        shutil.copy(file_of(twin, index + 2), twin / name)
        captions = captions.replace(f'"number {index}"', f'"number {index + 2}"')
    (twin / "metadata.jsonl").write_text(captions)
    (tmp_path / "other").mkdir()
    whole = tmp_path / "whole"
    assert train([*given(tmp_path / "other", tiny_teacher_path, twin), "--run-dir", str(whole)]) == 0
    assert torch.equal(weights(whole), weights(run))
    untouched = image_folder(tmp_path / "untouched", 200)
    assert train([*given(tmp_path / "other", tiny_teacher_path, untouched), "--run-dir", str(tmp_path / "u")]) == 0
    assert not torch.equal(weights(tmp_path / "u"), weights(run)), "nothing that stands in was ever drawn"


def test_many_are_listed_in_a_file(tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = image_folder(tmp_path / "images", 60)
    for index in range(25):
        cut(file_of(images, index))
    (tmp_path / "\x1b[31m.png").write_bytes(b"")
    words = [*given(tmp_path, tiny_teacher_path, images), "--run-dir", str(tmp_path / "runs" / "run")]
    assert train(words) == 65
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22 and "and 5 more" in lines[-1]
    (listed,) = (tmp_path / "runs").iterdir()
    assert str(listed) in lines[-1]
    names = [line.partition(":")[0] for line in listed.read_text().splitlines()]
    assert names == [file_of(images, index).name for index in range(25)]


@pytest.mark.parametrize("name", ["\x1b[31mred.png", "gone.png"])
def test_what_cannot_be_left_out(
    tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    images = image_folder(tmp_path / "images", 4)
    if name == "gone.png":
        (images / name).symlink_to("nowhere")  # a disk that is not mounted: another day it is there
    else:
        (images / name).write_bytes(b"broken")
    words = [*given(tmp_path, tiny_teacher_path, images), "--run-dir", str(tmp_path / "run")]
    assert train([*words, "--quarantine"]) == 65
    error = capsys.readouterr().err
    assert "See to them first" in error and "\x1b" not in error
    assert not (tmp_path / "run").exists()


def test_an_image_that_breaks_during_the_run(
    tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = image_folder(tmp_path / "images", 200)
    words = [*given(tmp_path, tiny_teacher_path, images), "--run-dir", str(tmp_path / "run")]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "STOP").touch()
    assert train(words) == 75
    (tmp_path / "run" / "STOP").unlink()
    kept = {file: (file.read_bytes(), file.stat()) for file in images.iterdir()}
    for file, (data, status) in kept.items():
        if file.suffix != ".jsonl":
            file.write_bytes(b"\0" * len(data))
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # so that the check before does not see it
    capsys.readouterr()
    assert train(words) == 65
    assert "not a readable image" in capsys.readouterr().err
    for file, (data, _) in kept.items():
        file.write_bytes(data)
    assert train(words) == 0, "what was computed is not lost"


SWEEP = """
base: given.yaml
factors:
  trajectory: {forward: {}, backward: {model.trajectory: Backward}}
baseline: {trajectory: forward}
seeds: 1
metrics: {saturation: max}
"""


def test_a_sweep_says_it_before_anything_starts(
    tmp_path: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given(tmp_path, tiny_teacher_path, damaged(tmp_path))
    file = tmp_path / "study.yaml"
    file.write_text(SWEEP)
    words = [str(file), "--results", str(tmp_path / "results")]
    assert sweep(words) == 65
    error = capsys.readouterr().err
    assert "nothing was started" in error and all(name in error for name in NAMES)
    assert not (tmp_path / "results" / "study").exists()
    assert sweep([*words, "--plan", "--quarantine"]) == 0
    said = capsys.readouterr()
    assert said.err.count("2 of 200 images") == 1, "once, not for every arm"


def test_the_cells_of_a_sweep_are_told(tmp_path: Path, tiny_teacher_path: Path) -> None:
    """In their configuration, which every rank of a cell reads, and which decides about the hash."""
    images = image_folder(tmp_path / "images", 200)
    given(tmp_path, tiny_teacher_path, images)
    (tmp_path / "study.yaml").write_text(SWEEP)

    def plan(quarantine: bool) -> list[tuple[str | None, list[str]]]:
        options = argparse.Namespace(quarantine=quarantine, results=tmp_path)
        made = make_plan(read_sweep(tmp_path / "study.yaml"), _real_resolve(options))
        return [(cell.training, cell.config["data"]["init_args"]["quarantine"]) for cell in made.cells]

    sound = plan(False)
    assert plan(True) == sound and [names for _, names in sound] == [[], []]
    for index, damage in BROKEN.items():
        damage(file_of(images, index))
    left_out = plan(True)
    assert [names for _, names in left_out] == [NAMES, NAMES]
    assert not {training for training, _ in left_out} & {training for training, _ in sound}


def test_two_ranks_leave_out_the_same(tmp_path: Path, tiny_teacher_path: Path) -> None:
    words = given(tmp_path, tiny_teacher_path, damaged(tmp_path), devices=2)
    run = tmp_path / "run"
    command = [sys.executable, "-m", "workbench.train", *words, "--run-dir", str(run), "--quarantine"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("2 of 200 images") == 1
    assert load_yaml(run / "config.yaml")["data"]["init_args"]["quarantine"] == NAMES


def test_ranks_that_read_something_else_are_stopped(tmp_path: Path, tiny_teacher_path: Path) -> None:
    """As if a file had broken between the first rank's look and the second's."""
    given(tmp_path, tiny_teacher_path, image_folder(tmp_path / "images", 20), devices=2)
    script = tmp_path / "ranks.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from workbench import train\n"
        "from workbench.config import resolve\n"
        "names = ['0003.png'] if os.environ.get('LOCAL_RANK', '0') != '0' else []\n"
        "train.run(resolve(Path(sys.argv[1]), {'data.quarantine': names}), sys.argv[2], quiet=True)\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "given.yaml"), str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode != 0 and "different configurations" in done.stderr, done.stderr[-3000:]
    assert not (tmp_path / "run" / "last.ckpt").exists()
