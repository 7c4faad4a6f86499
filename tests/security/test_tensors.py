"""Hostile weights, checkpoints, statistics and archives through every loader: nothing runs, one line says why."""

from __future__ import annotations

import pickle
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.security.hostile import Call, files, pickles
from tests.security.watch import watching
from workbench.distill.checkpoint import LAST, load_checkpoint, save_checkpoint
from workbench.files import file_sha256
from workbench.tensor_files import read_safetensors, read_state_dict, read_torch


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of hostile files; `marker` beside it is what they would make."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "files").mkdir()
    for name, data in files(folder / "marker").items():
        (folder / "files" / name).write_bytes(data)
    return folder


def refused(hostile: Path, load: Callable[[Path], Any], name: str | None = None) -> int:
    """Every hostile file is refused by `load` in one line and runs nothing; returns how many there were.

    name: the file's name where `load` expects one; a copy in a folder of its own is given then.
    """
    count = 0
    for file in sorted((hostile / "files").iterdir()):
        given = file
        if name is not None:
            given = hostile / "one" / name
            given.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, given)
        with watching(hostile) as seen, pytest.raises(ValueError, match=r".") as caught:
            load(given)
        seen.check()
        message = str(caught.value)
        assert "\n" not in message and len(message) < 700, (file.name, message)
        assert not (hostile / "marker").exists(), file.name
        count += 1
    return count


def test_the_payloads_are_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened as pickles they do what they are for: else the tests below would prove nothing."""
    monkeypatch.chdir(tmp_path)  # some of them make a second file, where they are run
    marker = tmp_path / "marker"
    worked = set()
    for name, data in pickles(marker).items():
        try:
            value = pickle.loads(data)
            if name == "popen":
                value.wait()
        except (ImportError, AttributeError, TypeError, pickle.UnpicklingError):
            continue
        if marker.exists():
            worked.add(name)
            marker.unlink()
    assert worked >= {"reduce", "reduce-0", "exec", "eval-in-a-list", "popen", "inst", "obj"}


def test_the_readers(hostile: Path) -> None:
    assert refused(hostile, read_torch) >= 20
    assert refused(hostile, read_state_dict) >= 20
    assert refused(hostile, read_safetensors) >= 20


def test_a_checkpoint_with_a_right_digest(hostile: Path, tmp_path: Path) -> None:
    """Alone it is refused; with a sound one before it, the training goes on from there with one warning."""

    def alone(file: Path) -> None:
        (file.parent / f"{LAST}.sha256").write_text(file_sha256(file))
        load_checkpoint(file.parent)

    assert refused(hostile, alone, LAST) >= 20
    for file in sorted((hostile / "files").iterdir()):
        folder = tmp_path / file.name
        folder.mkdir()
        for tick in (1, 2):
            save_checkpoint(folder, {"tick": tick})
        shutil.copyfile(file, folder / LAST)
        (folder / f"{LAST}.sha256").write_text(file_sha256(folder / LAST))
        with watching(folder) as seen, pytest.warns(UserWarning, match="damaged") as caught:
            state = load_checkpoint(folder)
        seen.check()
        assert state == {"tick": 1} and len(caught) == 1
    assert not (hostile / "marker").exists()


@pytest.mark.parametrize(
    "state", [[1], {"x": 1}, {"tick": "3"}, {"tick": -1}, {"tick": 1, "metrics_bytes": "x"}, torch.zeros(2)], ids=str
)
def test_a_file_that_is_no_checkpoint(tmp_path: Path, state: Any) -> None:
    torch.save(state, tmp_path / LAST)
    (tmp_path / f"{LAST}.sha256").write_text(file_sha256(tmp_path / LAST))
    with pytest.raises(ValueError, match="is no checkpoint of a training"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("sidecar", [b"\xff\xfe\x00", b"x" * 10_000, b""])
def test_a_sidecar_that_is_no_digest(tmp_path: Path, sidecar: bytes) -> None:
    save_checkpoint(tmp_path, {"tick": 1})
    (tmp_path / f"{LAST}.sha256").write_bytes(sidecar)
    with pytest.raises(ValueError, match="SHA-256 differs"):
        load_checkpoint(tmp_path)


def test_a_student(hostile: Path, tiny_teacher: Any) -> None:
    from workbench.config import instantiate, resolve
    from workbench.evaluation.student import student_generator
    from workbench.snapshots import snapshot_file

    config = instantiate(resolve({}))

    def student(file: Path) -> None:
        student_generator(config, file.parent, tiny_teacher, 2, seed=0)

    assert refused(hostile, student, snapshot_file(None)) >= 20


def test_statistics_and_images_in_the_cache(hostile: Path, tmp_path: Path) -> None:
    """A hostile file in the cache is made again, with a warning; so is one whose tensors are others than they say."""
    from workbench.metrics.cache import cached

    def ask() -> dict[str, torch.Tensor]:
        return cached("thing", {"a": 1}, lambda: {"x": torch.ones(2)}, tmp_path, layout={"x": (1, "float32")})

    ask()
    (path,) = tmp_path.glob("*.safetensors")
    key = read_safetensors(path)[1]
    for file in sorted((hostile / "files").iterdir()):
        shutil.copyfile(file, path)
        with watching(tmp_path) as seen, pytest.warns(UserWarning, match="made again"):
            assert torch.equal(ask()["x"], torch.ones(2))
        seen.check()
    for tensors in ({"y": torch.ones(2)}, {"x": torch.ones(2, 2)}, {"x": torch.ones(2).long()}):
        save_file(tensors, path, metadata=key)
        with pytest.warns(UserWarning, match="made again"):
            assert torch.equal(ask()["x"], torch.ones(2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ask()
    assert not (hostile / "marker").exists()


def test_a_lock_in_the_cache_is_no_way_out(tmp_path: Path) -> None:
    from workbench.metrics.cache import cached

    (tmp_path / "cache").mkdir()
    (tmp_path / "precious").write_text("kept")
    cached("thing", {"a": 1}, lambda: {"x": torch.ones(2)}, tmp_path / "cache")
    (lock,) = (tmp_path / "cache").glob("*.lock")
    lock.unlink()
    lock.symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"):
        cached("thing", {"a": 1}, lambda: {"x": torch.ones(2)}, tmp_path / "cache")
    assert (tmp_path / "precious").read_text() == "kept"


def test_the_judge(hostile: Path) -> None:
    from workbench.world.judge import load_judge

    load = load_judge.__wrapped__
    assert refused(hostile, lambda file: load(file.parent), "judge.safetensors") >= 20
    save_file({"x": torch.zeros(1)}, hostile / "one" / "judge.safetensors")
    with pytest.raises(ValueError, match="holds other weights than the judge's"):
        load(hostile / "one")


def test_inception_and_clean_fid(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights are refused by their hash; and had they the hash, no object in them would be made."""
    from workbench.metrics.extractors import clean_fid, inception

    assert refused(hostile, lambda file: inception.Inception(str(file))) >= 20
    assert refused(hostile, lambda file: clean_fid.CleanFid(str(file.parent)), clean_fid.FILE) >= 20

    def believed(file: Path) -> None:
        monkeypatch.setattr(inception, "SHA256", file_sha256(file))
        inception.Inception(str(file))

    assert refused(hostile, believed) >= 20


def test_checkpoints_of_the_shipped_networks(hostile: Path) -> None:
    from workbench.world.loop import fit

    def go_on(file: Path) -> None:
        module = torch.nn.Linear(1, 1)
        fit("net", {"net": module}, lambda step: {}, steps=1, learning_rate=1.0, work=file.parent)

    assert refused(hostile, go_on, "net.ckpt") >= 20


def test_garments(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.data.wardrobe import garments

    file = hostile / "garments.npz"
    monkeypatch.setattr(garments, "GARMENTS_FILE", file)
    np.savez(file, test_images=np.array([Call(Path.touch, hostile / "marker")], dtype=object), test_labels=np.zeros(1))
    with watching(hostile) as seen, pytest.raises(ValueError, match="pickle"):
        garments.garments.__wrapped__("test")
    seen.check()
    assert not (hostile / "marker").exists()
