"""The shipped garments: a subset of Fashion-MNIST (MIT licence), already divided into folds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

GARMENTS_FILE = Path(__file__).resolve().parents[2] / "assets" / "garments" / "garments.npz"


@cache
def garments(fold: str) -> tuple[np.ndarray, ...]:
    """The grey images of a fold, one uint8 array (n, 28, 28) a garment class, 0 = no garment.

    Raises ValueError if the shipped file is missing.
    """
    if not GARMENTS_FILE.is_file():
        raise ValueError(f"the shipped garments are missing ({GARMENTS_FILE.name}). Install the package again.")
    with np.load(GARMENTS_FILE, allow_pickle=False) as file:
        images, labels = file[f"{fold}_images"], file[f"{fold}_labels"]
    return tuple(images[labels == k] for k in range(10))
