"""A run and its folder: what is written, and what a kill, a second start or another configuration do to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from tests.tiny import make_tiny_teacher
from workbench import train
from workbench.config import load_yaml, resolve
from workbench.training.run import Run

ROOT = Path(__file__).parents[2]
# Of a random teacher; that the measurement is replayed is the point here.
pytestmark = pytest.mark.filterwarnings("ignore:CalibratedShift")


def config(teacher: Path, updates: int = 6, **settings: Any) -> dict[str, Any]:
    return resolve(
        {
            "teacher": {"path": str(teacher)},
            "data": {"class_path": "Wardrobe", "size": 100},
            "model": {
                "trajectory": "Mixture",
                "losses": {
                    "reconstruction": {
                        "class_path": "Reconstruction",
                        "target": {"class_path": "TeacherTarget", "steps": 2, "shift": "CalibratedShift"},
                    },
                    "adversarial": {
                        "class_path": "Adversarial", "gradient_ratio": 0.3, "critic_warmup": 2, "width": 8,
                    },
                },
            },
            "train": {
                "student_updates": updates, "batch_size": 2, "accelerator": "cpu", "threads": 1,
                "checkpoint_minutes": 0, "log_every": 4, "sample_every": 3, "sample_prompts": 2, "probe_every": 3,
                "probe_samples": 2, "reference_samples": 2, "snapshots": [0.5],
            },
        },
        {f"train.{key}": value for key, value in settings.items()},
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_teacher_path: Path) -> Path:
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train.run(config(tiny_teacher_path), folder, quiet=True)
    return folder


def test_the_folder_holds_the_record(finished: Path, tiny_teacher_path: Path) -> None:
    assert resolve(load_yaml(finished / "config.yaml")) == config(tiny_teacher_path)  # repeats the run by hand
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert sorted({r["update"] for r in rows if "gradient_norm" in r}) == [1, 2, 3, 4, 5, 6]
    for name in ("loss/reconstruction", "distance/reconstruction", "std_ratio/reconstruction", "learning_rate", "moved",
                 "exposure_gap/reconstruction", "gradient_at_x0/adversarial", "critic_loss/adversarial"):  # fmt: skip
        assert any(row.get(name) is not None for row in rows), name
    assert rows[-1]["update"] == 6 and max(r.get("moved") or 0 for r in rows) > 0
    images = sorted((finished / "samples").glob("*.png"))
    assert [path.stem for path in images] == ["000000", "000003", "000006"]
    assert Image.open(images[0]).size == (3 * 32, 2 * 32)  # columns 1, 2, 3 steps; two captions
    assert json.loads((finished / "provenance.json").read_text())["student_updates"] == 6
    assert "TableShift" in (finished / "calibration.json").read_text()
    assert list((finished / "tb").iterdir())


def test_the_weights_are_the_average_and_say_so(finished: Path) -> None:
    with safe_open(finished / "student.safetensors", "pt") as file:
        about = json.loads(file.metadata()["workbench"])
    assert about["weights"] == "ema" and about["student_updates"] == 6
    checkpoint = torch.load(finished / "last.ckpt", weights_only=True)
    weights = load_file(finished / "student.safetensors")
    assert all(torch.equal(weights[name], checkpoint["ema"][name]) for name in weights)
    assert weights.keys() == checkpoint["student"].keys()


def test_the_checkpoint_holds_no_teacher(finished: Path) -> None:
    checkpoint = torch.load(finished / "last.ckpt", weights_only=True)
    assert all(name.startswith("unet.") for name in checkpoint["student"])
    heads = checkpoint["losses"]["adversarial"]["module"]
    assert heads and all(name.startswith("heads.") for name in heads)


def test_starting_a_finished_run_again_changes_nothing_and_says_so(
    finished: Path, tiny_teacher_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in finished.glob("*.*") if path.suffix in (".jsonl", ".safetensors")}
    train.run(config(tiny_teacher_path), finished, quiet=True)
    assert train.main(["--config", str(finished / "config.yaml"), "--run-dir", str(finished)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "is finished already; nothing was trained" in line and f"workbench.evaluate {finished}" in line
    assert all(path.read_bytes() == content for path, content in before.items())


def test_another_configuration_is_refused_by_the_setting_that_differs(finished: Path, tiny_teacher_path: Path) -> None:
    with pytest.raises(train.RunFolderError, match=r"learning_rate is 0\.0001 there, 0\.001 here"):
        train.run(config(tiny_teacher_path, learning_rate=1e-3), finished, quiet=True)


def test_two_owners_are_one_too_many(finished: Path, tiny_teacher_path: Path) -> None:
    import fcntl

    with (finished / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(train.RunFolderError, match="in use"):
            train.run(config(tiny_teacher_path), finished, quiet=True)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, tiny_teacher_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(train.RunFolderError, match="cannot be written"):
        train.run(config(tiny_teacher_path), tmp_path / "file" / "run", quiet=True)


def same(a: Any, b: Any) -> bool:
    """Bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def assert_equal_runs(a: Path, b: Path) -> None:
    """Student, average, optimisers, critic, metrics and pictures, bit for bit."""
    for name in ("metrics.jsonl", "student-0.5.safetensors", "student.safetensors", "samples/000006.png"):
        assert (a / name).read_bytes() == (b / name).read_bytes(), name
    assert same(*(torch.load(folder / "last.ckpt", weights_only=True) for folder in (a, b)))


def test_a_killed_run_ends_bit_for_bit_like_the_undisturbed_one(
    finished: Path, tmp_path: Path, tiny_teacher_path: Path
) -> None:
    """SIGKILL of a real process in the middle; the rest in this one."""
    folder = tmp_path / "killed"
    (tmp_path / "given.yaml").write_text(yaml.safe_dump(config(tiny_teacher_path)))
    child = subprocess.Popen(
        [sys.executable, "-m", "workbench.train", "--config", str(tmp_path / "given.yaml"), "--run-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not (folder / "last.ckpt").exists() or _tick(folder) < 4:
        assert child.poll() is None, "ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (folder / "student.safetensors").exists()
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"update": 5, "tick"')  # a torn line, as a kill in the middle of a write leaves
    train.run(config(tiny_teacher_path), folder, quiet=True)
    assert_equal_runs(finished, folder)


def _tick(folder: Path) -> int:
    try:
        return torch.load(folder / "last.ckpt", weights_only=True)["tick"]
    except (OSError, RuntimeError, EOFError):
        return -1


def test_a_stopped_run_saves_itself_and_goes_on_bit_for_bit(
    finished: Path, tmp_path: Path, tiny_teacher_path: Path
) -> None:
    folder = tmp_path / "stopped"
    for ticks in (3, 3):  # a chain
        asked = 0

        def stop(ticks: int = ticks) -> bool:
            nonlocal asked
            asked += 1
            return asked == ticks

        with pytest.raises(train.Stopped, match="goes on"):
            train.run(config(tiny_teacher_path, checkpoint_minutes=60), folder, stop=stop, quiet=True)
    train.run(config(tiny_teacher_path), folder, quiet=True)
    assert_equal_runs(finished, folder)


def test_a_snapshot_is_the_average_of_that_moment_and_changes_nothing(
    finished: Path, tmp_path: Path, tiny_teacher_path: Path
) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 5  # two ticks of warm-up, three updates: half of them

    with pytest.raises(train.Stopped, match="after student update 3 of 6"):
        train.run(config(tiny_teacher_path, snapshots=[]), tmp_path / "plain", stop=stop, quiet=True)
    average = torch.load(tmp_path / "plain" / "last.ckpt", weights_only=True)["ema"]
    snapshot = load_file(finished / "student-0.5.safetensors")
    assert all(torch.equal(snapshot[name], average[name]) for name in snapshot)
    with safe_open(finished / "student-0.5.safetensors", "pt") as file:
        assert json.loads(file.metadata()["workbench"])["student_updates"] == 3
    train.run(config(tiny_teacher_path, snapshots=[]), tmp_path / "plain", quiet=True)
    for name in ("metrics.jsonl", "student.safetensors", "samples/000006.png"):
        assert (finished / name).read_bytes() == (tmp_path / "plain" / name).read_bytes(), name
    assert not list((tmp_path / "plain").glob("student-*"))


def test_without_a_final_checkpoint_the_student_is_the_same(
    finished: Path, tmp_path: Path, tiny_teacher_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a sweep trains, which drops checkpoints: none is left to drop, and a kill before the weights costs nothing."""
    rare = config(tiny_teacher_path, checkpoint_minutes=60)
    with monkeypatch.context() as m:
        m.setattr("workbench.training.run.write_student", lambda *_: 1 / 0)  # killed before the weights are written
        with pytest.raises(ZeroDivisionError):
            Run(rare, tmp_path, quiet=True, final_checkpoint=False).train()
    assert not list(tmp_path.glob("*.ckpt*")) and not (tmp_path / "student.safetensors").exists()
    Run(rare, tmp_path, quiet=True, final_checkpoint=False).train()
    assert not list(tmp_path.glob("*.ckpt*"))
    for name in ("metrics.jsonl", "student.safetensors", "student-0.5.safetensors", "samples/000006.png"):
        assert (finished / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_the_time_of_all_starts_counts(finished: Path, tmp_path: Path, tiny_teacher_path: Path) -> None:
    once = json.loads((finished / "provenance.json").read_text())
    assert once["training_seconds"] == once["seconds_since_last_start"]
    folder = tmp_path / "twice"
    with pytest.raises(train.Stopped):
        train.run(config(tiny_teacher_path), folder, stop=lambda: True, quiet=True)
    (folder / "clock.json").write_text('{"seconds": 1000.0}')
    train.run(config(tiny_teacher_path), folder, quiet=True)
    twice = json.loads((folder / "provenance.json").read_text())
    assert 1000 < twice["training_seconds"] == pytest.approx(1000 + twice["seconds_since_last_start"], abs=0.2)


def test_noise_correction_without_effect_is_said_aloud(tmp_path: Path) -> None:
    teacher = make_tiny_teacher(tmp_path / "teacher", "v_prediction", zero_terminal_snr=True)
    settings = {"student_updates": 1, "sample_every": 0, "probe_every": 0, "reference_samples": 0}
    plain = resolve(
        config(teacher, **settings),
        {
            "model.losses.adversarial": None,
            "model.trajectory": "Backward",
            "model.losses.reconstruction.target.shift": "ScaleShift",
        },
    )
    with pytest.warns(UserWarning, match="noise_correction: on changes nothing"):
        train.run(plain, tmp_path / "run", quiet=True)


def test_refusals_come_before_training(tmp_path: Path, tiny_teacher_path: Path) -> None:
    off = {"model.losses.reconstruction.target.shift": {"class_path": "OffsetShift", "offset": -0.5}}
    with pytest.raises(ValueError, match=r"model\.losses\.reconstruction: .*the loss is zero"):
        train.run(resolve(config(tiny_teacher_path), off), tmp_path / "run", quiet=True)
    fresh = {
        "model.losses.reconstruction.target.shift": "IdentityShift",
        "model.losses.reconstruction.target.noise": "FreshNoise",
    }
    teacher = make_tiny_teacher(tmp_path / "zero", "v_prediction", zero_terminal_snr=True)
    with pytest.raises(ValueError, match="independent of the student"):
        train.run(resolve(config(teacher), fresh), tmp_path / "other", quiet=True)
    broken = make_tiny_teacher(tmp_path / "epsilon", "epsilon", zero_terminal_snr=True)
    with pytest.raises(ValueError, match="alpha_T = 0"):
        train.run(config(broken), tmp_path / "third", quiet=True)
