"""workbench.cell with the tiny judge and CLIP of the metrics' tests; $TINY_CLIP is the CLIP's folder.

Leaves ranks.txt in the cell, a line for each process that worked on it, and late.json: the threads of the process that
everything was imported and prepared in, how often the cell asked for what was prepared and how often it had to make it,
and the parts of the large libraries that it had to import by itself all the same.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import workbench.cell
from workbench.training.provenance import code

IMPORTED = set(sys.modules)
THREADS = len(os.listdir("/proc/self/task"))
LARGE = {"diffusers", "transformers", "peft", "torchvision", "tensorboard", "lightning"}

from tests.evaluate.conftest import use_tiny_models  # noqa: E402

use_tiny_models(pytest.MonkeyPatch(), Path(os.environ["TINY_CLIP"]))


def prepare() -> None:
    global THREADS
    workbench.cell.prepare()
    THREADS = len(os.listdir("/proc/self/task"))


def run_cell(folder: Path) -> None:
    known = code.cache_info()
    workbench.cell.run_cell(folder)
    with open(folder / "ranks.txt", "a") as file:
        file.write(f"{os.getpid()}\n")
    late = [name for name in set(sys.modules) - IMPORTED if name.partition(".")[0] in LARGE]
    asked = code.cache_info().hits - known.hits
    made = code.cache_info().misses - known.misses
    found = {"threads": THREADS, "late": sorted(late), "code": {"asked": asked, "made": made}}
    (folder / "late.json").write_text(json.dumps(found))
