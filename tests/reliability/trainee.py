"""A training as the program of a fork server; rank by rank where it has several processes.

What training imports on first use is imported here too, so that a start costs a fork and not seconds of imports.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch.utils.tensorboard  # noqa: F401
import yaml

from workbench.training.run import Run


def run_cell(folder: Path) -> None:
    """Train folder/config.yaml into the folder that task.json names, as the rank that its variables say."""
    task = json.loads((folder / "task.json").read_text())
    os.environ.update(task["environment"])
    Run(yaml.safe_load((folder / "config.yaml").read_text()), Path(task["run"]), quiet=True).train()
