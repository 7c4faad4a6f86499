"""A cell that notices when it is not alone on its GPUs: it locks a file of each while it works.

Reads $FAKE_GPUS, a folder; leaves used.txt there, a line for each cell with its devices, and shared.txt if two met.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.study import fake_cell
from workbench.study.locks import FileLock


def run_cell(folder: Path) -> None:
    gpus, names = Path(os.environ["FAKE_GPUS"]), os.environ["CUDA_VISIBLE_DEVICES"]
    with open(gpus / "used.txt", "a") as file:
        file.write(f"{folder.parent.parent.name} {names}\n")
    for name in names.split(","):
        if not FileLock(gpus / name).acquire(wait=False):
            (gpus / "shared.txt").write_text(name)
    time.sleep(0.3)
    fake_cell.run_cell(folder)
