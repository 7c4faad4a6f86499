"""`python -m workbench.train` as the program of a fork server; rank by rank where a run has several processes.

What training imports on first use is imported here too, so that a start costs a fork and not seconds of imports.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import workbench.libraries
import workbench.training.run  # noqa: F401
from workbench.train import main


def run_cell(folder: Path) -> None:
    """Do what task.json says, with its variables; the exit status goes into the file status."""
    task = json.loads((folder / "task.json").read_text())
    os.environ.update(task["environment"])
    (folder / "status").write_text(str(main(task["arguments"])))
