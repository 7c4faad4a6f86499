"""workbench.cell with the tiny judge and CLIP of the metrics' tests; $TINY_CLIP is the CLIP's folder.

Leaves ranks.txt in the cell, a line for each process that worked on it, and late.json: the threads of the process that
everything was imported in, and the parts of the large libraries that the cell had to import by itself all the same.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import workbench.cell

IMPORTED = set(sys.modules)
THREADS = len(os.listdir("/proc/self/task"))
LARGE = {"diffusers", "transformers", "peft", "torchvision", "tensorboard", "lightning"}

from tests.evaluate.conftest import use_tiny_models  # noqa: E402

use_tiny_models(pytest.MonkeyPatch(), Path(os.environ["TINY_CLIP"]))


def run_cell(folder: Path) -> None:
    workbench.cell.run_cell(folder)
    with open(folder / "ranks.txt", "a") as file:
        file.write(f"{os.getpid()}\n")
    late = [name for name in set(sys.modules) - IMPORTED if name.partition(".")[0] in LARGE]
    (folder / "late.json").write_text(json.dumps({"threads": THREADS, "late": sorted(late)}))
