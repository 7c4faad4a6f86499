"""Snapshots: the averaged student at given shares of its training. Standard library only: any room may use it."""

from __future__ import annotations

from collections.abc import Sequence

STUDENT = "student.safetensors"  # the averaged student at the end


def snapshot_file(share: float | None) -> str:
    """The file of the student after this share of its updates: student-0.25.safetensors; the last one for 1 or None."""
    return STUDENT if share is None or share == 1 else f"student-{share:g}.safetensors"


def snapshot_update(share: float | None, updates: int) -> int:
    """Student updates that the snapshot has seen: the share rounded down, at least 1; all of them for 1 or None."""
    return updates if share is None or share == 1 else max(1, int(share * updates + 1e-9))


def check_shares(shares: Sequence[float], updates: int) -> None:
    """Raises ValueError unless every share lies between 0 and 1, and no two are the same snapshot."""
    for share in shares:
        if not 0 < share < 1:
            raise ValueError(
                f"shares of the student's updates above 0 and below 1 are wanted, but got {share:g}. The student at "
                "the end is written anyway."
            )
    at = [snapshot_update(share, updates) for share in shares]
    if len(set(at)) < len(at):
        raise ValueError(f"{list(shares)} of {updates} updates are the updates {at}: name different ones.")
