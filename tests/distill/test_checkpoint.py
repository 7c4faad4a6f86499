"""Checkpoints: whole or not there."""

from __future__ import annotations

import pickle
import subprocess
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from workbench.distill.checkpoint import LAST, PREVIOUS, load_checkpoint, save_checkpoint
from workbench.files import write_atomically


def state(step: int) -> dict:
    return {"tick": step, "weights": torch.full((50,), float(step))}


def test_the_newest_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path) is None
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, state(step))
        loaded = load_checkpoint(tmp_path)
        assert loaded is not None and loaded["tick"] == step and torch.equal(loaded["weights"], state(step)["weights"])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [LAST, f"{LAST}.sha256", PREVIOUS, f"{PREVIOUS}.sha256"]


def test_a_torn_checkpoint_falls_back_to_the_one_before_with_one_warning(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(1))
    save_checkpoint(tmp_path, state(2))
    whole = (tmp_path / LAST).read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 200)):
        (tmp_path / LAST).write_bytes(whole[:cut])
        with pytest.warns(UserWarning, match="damaged") as caught:
            loaded = load_checkpoint(tmp_path)
        assert loaded is not None and loaded["tick"] == 1 and len(caught) == 1
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    (tmp_path / LAST).write_bytes(bytes(flipped))
    with pytest.warns(UserWarning, match="damaged"):
        loaded = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["tick"] == 1


@pytest.mark.parametrize("dies_after", range(6))
def test_a_kill_between_any_two_renames_loses_at_most_one_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    save_checkpoint(tmp_path, state(1))
    save_checkpoint(tmp_path, state(2))
    done = 0
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal done
        if done == dies_after:
            raise KeyboardInterrupt  # no handler of ours catches it
        done += 1
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    try:
        save_checkpoint(tmp_path, state(3))
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = load_checkpoint(tmp_path)
    assert loaded is not None and loaded["tick"] in (2, 3)
    save_checkpoint(tmp_path, state(4))  # and the folder still works
    assert (load_checkpoint(tmp_path) or {})["tick"] == 4


def test_when_none_is_whole_the_message_says_what_to_do(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, state(1))
    (tmp_path / LAST).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="Remove both"):
        load_checkpoint(tmp_path)


class Payload:
    """Would write a file if it were unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_a_pickle_is_not_executed_even_with_a_right_digest(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"tick": 1, "payload": Payload(tmp_path / "owned")})
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def fails(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "file", fails)
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_an_oserror_whatever_the_writer_makes_of_it(tmp_path: Path) -> None:
    """A real one: torch.save has an error of its own for it, safetensors another."""
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        save_checkpoint(small, state(1))
        large = {"tick": 2, "weights": torch.zeros(1_000_000)}
        with pytest.raises(OSError, match="No space left"):
            save_checkpoint(small, large)
        found = load_checkpoint(small)
        assert found is not None and found["tick"] == 1
        with pytest.raises(OSError, match="No space left"):
            write_atomically(small / "x.safetensors", lambda path: save_file({"x": torch.zeros(1_000_000)}, path))
        assert not list(small.glob(".tmp*"))
    finally:
        subprocess.run(["umount", str(small)], check=True)
