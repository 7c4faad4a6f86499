"""Checkpoints that survive a kill at any instant: written aside, synced, renamed; two kept; verified when read."""

from __future__ import annotations

import os
import secrets
import warnings
from pathlib import Path
from typing import Any

import torch

from workbench.files import disk_errors, file_sha256, sync_folder, write_atomically

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Write folder/last.ckpt with its SHA-256 beside it; the one before becomes previous.ckpt.

    Args:
        state: tensors and plain types only, so that it loads with weights_only=True.

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


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, on the CPU; None if the folder holds none.

    A damaged one is skipped with one warning. Nothing is unpickled but tensors and plain types (weights_only).

    Raises:
        ValueError: there are checkpoints, but none is whole.
    """
    there = [folder / name for name in (LAST, PREVIOUS) if (folder / name).exists()]
    sidecars = [folder / f"{name}.sha256" for name in (LAST, PREVIOUS)]
    digests = {path.read_text(encoding="utf-8").strip() for path in sidecars if path.exists()}
    damaged: list[Path] = []
    for path in there:
        if file_sha256(path) in digests:
            if damaged:
                warnings.warn(f"{damaged[0]} is damaged; going on from {path.name}.", stacklevel=2)
            return torch.load(path, map_location="cpu", weights_only=True)
        damaged.append(path)
    if damaged:
        raise ValueError(
            f"{damaged[0]}: neither this checkpoint nor the one before it is whole (SHA-256 differs). "
            "Remove both to start the run again."
        )
    return None


def _write_text(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8")
