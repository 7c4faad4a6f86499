"""Make assets/garments/garments.npz out of Fashion-MNIST.

    python -m workbench.world garments FOLDER

FOLDER holds the four .gz files of Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, MIT licence; Debian's package
dataset-fashion-mnist installs them under /usr/share/datasets/fashion-mnist).
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from workbench.data.wardrobe.garments import GARMENTS_FILE

# Images a class. "teacher" and "judge" come from the published training images, "test" from the published test images.
PER_CLASS = {"teacher": 2600, "judge": 1400, "test": 600}


def read(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The published images (n, 28, 28) and labels (n,) of a part, "train" or "t10k"."""
    try:
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
            images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)
        with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
            labels = np.frombuffer(file.read(), np.uint8, offset=8)
    except OSError as error:
        raise ValueError(f"{folder}: not the folder of Fashion-MNIST's .gz files ({error}).") from error
    return images, labels


def make(folder: Path, out: Path = GARMENTS_FILE) -> dict[str, int]:
    """Write the folds to `out`. Returns fold -> number of images."""
    train, test = read(folder, "train"), read(folder, "t10k")
    arrays: dict[str, np.ndarray] = {}
    start = 0
    for fold, (images, labels) in {"teacher": train, "judge": train, "test": test}.items():
        first = 0 if fold == "test" else start
        rows = np.concatenate([np.flatnonzero(labels == k)[first : first + PER_CLASS[fold]] for k in range(10)])
        arrays[f"{fold}_images"], arrays[f"{fold}_labels"] = images[rows], labels[rows]
        start += PER_CLASS[fold]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **arrays)  # type: ignore[arg-type]
    return {fold: len(arrays[f"{fold}_labels"]) for fold in PER_CLASS}
