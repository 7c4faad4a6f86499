"""Checkpoints that survive a kill at any instant: written aside, synced, renamed; two kept; verified when read."""

from __future__ import annotations

import os
import secrets
import warnings
from pathlib import Path
from typing import Any

import torch

from workbench.distill.recorder import METRICS
from workbench.files import ReadingError, disk_errors, file_sha256, read_text, sync_folder, write_atomically
from workbench.tensor_files import read_torch

LAST, PREVIOUS, DAMAGED = "last.ckpt", "previous.ckpt", "damaged.ckpt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write folder/last.ckpt with its SHA-256 beside it; the one before becomes previous.ckpt.

    Args:
        state: tensors and plain types only, so that it loads with weights_only=True. `metrics_bytes`, if it is there,
            is the size of the record that belongs to it.

    Raises:
        OSError: as in :func:`write_atomically`; the checkpoints that were there are still there.
    """
    fresh = folder / f".tmp-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with disk_errors(folder), fresh.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        digest = file_sha256(fresh)
        # At every instant one of the two files is whole and its digest is in one of the two sidecars.
        for name in (LAST, f"{LAST}.sha256"):
            if (folder / name).exists():
                (folder / name).replace(folder / name.replace(LAST, PREVIOUS))
        write_atomically(folder / f"{LAST}.sha256", lambda path: _write_text(path, digest))
        fresh.replace(folder / LAST)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(folder)


def load_checkpoint(folder: Path, set_aside: bool = True) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, and whose part of the record is there, on the CPU; None if there is none.

    A damaged one is skipped with one warning: its bytes are not those of its digest, or they are no checkpoint. Nothing
    is unpickled but tensors and plain types (`workbench.tensor_files.read_torch`).

    Args:
        set_aside: rename what was skipped to damaged.ckpt, so that the next save does not put it in the place of the
            sound one. For one process of a run.

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    there = [folder / name for name in (LAST, PREVIOUS) if (folder / name).exists()]
    digests = {name: _digest(folder / f"{name}.sha256") for name in (LAST, PREVIOUS)}
    skipped: list[str] = []
    without_record: list[dict[str, Any]] = []
    for path in there:
        try:
            found = file_sha256(path) if path.is_file() else ""
            if found not in digests.values():
                raise ReadingError(f"{path}: SHA-256 differs")
            state = read_torch(path)
            if not _is_checkpoint(state):
                raise ReadingError(f"{path}: is no checkpoint of a training")
        except ReadingError as error:
            skipped.append(f"{path.name} is damaged ({str(error).rstrip('.')})")
            continue
        if not _reaches(folder / METRICS, state.get("metrics_bytes", 0)):
            skipped.append(f"{folder / METRICS} ends before {path.name}")
            without_record.append(state)
            continue
        if skipped:
            warnings.warn(f"{skipped[0]}; going on from {path.name}.", stacklevel=2)
            if set_aside:
                (folder / LAST).replace(folder / DAMAGED)
                if digests[PREVIOUS] == found:
                    (folder / f"{LAST}.sha256").unlink(missing_ok=True)
        return state
    if without_record:
        warnings.warn(f"{skipped[0]}; what is missing there stays missing.", stacklevel=2)
        return without_record[0]
    if skipped:
        raise ValueError(
            f"{there[0]}: {skipped[0]}; neither this checkpoint nor the one before it is whole. Remove both to start "
            "the run again."
        )
    return None


def _is_checkpoint(state: Any) -> bool:
    """Whether it counts its ticks and the bytes of its record; what else it must hold depends on the training."""
    counts = [state.get("tick"), state.get("metrics_bytes", 0)] if isinstance(state, dict) else [None]
    return all(isinstance(count, int) and count >= 0 for count in counts)


def is_finite(value: Any) -> bool:
    """Whether every tensor in nested dicts, lists and tuples is."""
    if isinstance(value, torch.Tensor):
        return bool(value.isfinite().all())
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(is_finite, value))


def _digest(sidecar: Path) -> str | None:
    try:
        return read_text(sidecar, 1_000).strip()
    except (OSError, ReadingError):
        return None


def _reaches(record: Path, size: int) -> bool:
    """Whether the record has as many bytes as it had at the checkpoint, in whole lines."""
    if not size:
        return True
    try:
        with record.open("rb") as stream:
            stream.seek(size - 1)
            return stream.read(1) == b"\n"
    except OSError:
        return False


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
