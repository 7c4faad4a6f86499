"""Short trainings of a notebook, kept below results/notebooks and not repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.config import resolve, training_part
from workbench.evaluation.quiet import quiet_libraries
from workbench.models import Teacher, load_teacher
from workbench.training.run import Run

ROOT = Path(__file__).resolve().parents[2]  # of the checkout, which has the sweep files and the notebooks
RESULTS = ROOT / "results" / "notebooks"


def quiet_teacher(path_or_name: str) -> Teacher:
    """`load_teacher` without the progress bars of its libraries, which a page should not show. Errors as there."""
    quiet_libraries()
    return load_teacher(path_or_name)


def trained(
    name: str, base: Path | Mapping[str, Any], overrides: Mapping[str, Any], teacher: Teacher, root: Path = RESULTS
) -> tuple[dict[str, Any], Path]:
    """The resolved configuration and the folder of its run, trained now unless it already was.

    The folder's name holds a hash of the configuration and of the teacher's weights, so another of either is another
    run; one that was interrupted goes on. Raises what workbench.config.resolve and workbench.train.run raise.
    """
    config = resolve(base, {"teacher.path": str(teacher.path.resolve()), **overrides})
    # The teacher counts by its weights; where it lies is this machine's business.
    text = json.dumps([{**training_part(config), "teacher": teacher.sha256}], sort_keys=True)
    folder = root / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    if not (folder / "student.safetensors").is_file():
        Run(config, folder, quiet=True).train()
    return config, folder
