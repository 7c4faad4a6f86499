"""Checkpoints: whole or not there."""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from workbench.distill.checkpoint import LAST, PREVIOUS, load_checkpoint, save_checkpoint
from workbench.distill.recorder import METRICS
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
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    cuts = sorted({round(i * (len(whole) - 1) / 199) for i in range(200)})
    assert len(cuts) == 200
    for torn in (*(whole[:cut] for cut in cuts), bytes(flipped)):
        (tmp_path / LAST).write_bytes(torn)
        with pytest.warns(UserWarning, match="damaged") as caught:
            loaded = load_checkpoint(tmp_path, set_aside=False)
        assert loaded is not None and loaded["tick"] == 1 and len(caught) == 1


def test_going_on_from_the_one_before_never_loses_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest is damaged, and then the process is killed between any two renames of its next save."""
    for dies_after in range(6):
        folder = tmp_path / str(dies_after)
        folder.mkdir()
        save_checkpoint(folder, state(1))
        save_checkpoint(folder, state(2))
        (folder / LAST).write_bytes(b"half")
        with pytest.warns(UserWarning, match="damaged"):
            load_checkpoint(folder)
        kill_at_rename(monkeypatch, dies_after, lambda folder=folder: save_checkpoint(folder, state(3)))  # type: ignore[misc]
        loaded = load_checkpoint(folder)
        assert loaded is not None and loaded["tick"] in (1, 3), dies_after


def test_a_checkpoint_whose_record_was_cut_is_not_gone_on_from(tmp_path: Path) -> None:
    """Every byte of the last record: what is gone is made again, from the checkpoint before."""
    lines = [f'{{"tick": {tick}}}\n' for tick in range(3)]
    for tick in (1, 2):
        save_checkpoint(tmp_path, {**state(tick), "metrics_bytes": len("".join(lines[: tick + 1]))})
    whole = "".join(lines)
    for cut in range(len(whole) - len(lines[2]), len(whole)):
        (tmp_path / METRICS).write_text(whole[:cut])
        with pytest.warns(UserWarning, match="ends before") as caught:
            loaded = load_checkpoint(tmp_path, set_aside=False)
        assert loaded is not None and loaded["tick"] == 1 and len(caught) == 1
    (tmp_path / METRICS).write_text(whole)
    assert (load_checkpoint(tmp_path) or {})["tick"] == 2
    (tmp_path / METRICS).unlink()  # by a person: no reason to train again
    with pytest.warns(UserWarning, match="stays missing") as caught:
        assert (load_checkpoint(tmp_path) or {})["tick"] == 2
    assert len(caught) == 1


def kill_at_rename(monkeypatch: pytest.MonkeyPatch, dies_after: int, act: Callable[[], None]) -> None:
    """Let `act` die before its rename number `dies_after`, as far as that can be done without ending this process."""
    done = 0
    replace = Path.replace

    def dying(self: Path, target: Path) -> Path:
        nonlocal done
        if done == dies_after:
            raise KeyboardInterrupt  # no handler of ours catches it
        done += 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", dying)
        try:
            act()
        except KeyboardInterrupt:
            pass


@pytest.mark.parametrize("dies_after", range(6))
def test_a_kill_between_any_two_renames_loses_at_most_one_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    save_checkpoint(tmp_path, state(1))
    save_checkpoint(tmp_path, state(2))
    kill_at_rename(monkeypatch, dies_after, lambda: save_checkpoint(tmp_path, state(3)))
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
    with pytest.raises(ValueError, match="cannot be loaded safely"):
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
