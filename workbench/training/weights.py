"""The student's weights as a file: the average, at the end of a run or on the way."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import save_file

from workbench.distill.module import Distillation
from workbench.files import write_atomically
from workbench.models import trainable_state


def write_student(module: Distillation, path: Path, teacher_sha256: str) -> None:
    """Write the averaged student to `path`, whole or not at all; its metadata say of what and after which update."""
    with module.ema.swap():
        weights = trainable_state(module.student)
    about = {
        "weights": "ema",
        "ema_decay": module.ema.decay,
        "student_updates": module.update,
        "teacher_sha256": teacher_sha256,
    }
    # One entry: safetensors writes several in any order, and equal runs should give equal files.
    metadata = {"workbench": json.dumps(about)}
    write_atomically(path, lambda temporary: save_file(weights, temporary, metadata=metadata))
