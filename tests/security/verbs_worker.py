"""Runs the real verbs on one job after the other, under the audit hook: `python -m tests.security.verbs_worker JOBS`.

JOBS is a JSON file, [[verb, [words], [roots], statistics], ...]; the answers are lines of JSON on standard output.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import workbench.evaluate
import workbench.report
import workbench.sample
import workbench.sweep
import workbench.training.run
from tests.security.watch import watching
from workbench.train import main as train

MAINS: dict[str, Any] = {
    "train": train,
    "evaluate": workbench.evaluate.main,
    "sample": workbench.sample.main,
    "sweep": workbench.sweep.main,
    "report": workbench.report.main,
}


def run(verb: str, words: list[str], roots: list[str], statistics: str = "") -> dict[str, Any]:
    """Exit status, what was printed, and what the hook saw. statistics: put into every file of the cache before."""
    for file in Path(os.environ["WORKBENCH_CACHE"]).glob("*.safetensors") if statistics else ():
        shutil.copyfile(statistics, file)
    out, error = io.StringIO(), io.StringIO()
    status: Any = None
    with watching(*map(Path, roots)) as seen, contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        try:
            status = MAINS[verb](words)
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            status = "raised"
            traceback.print_exc(file=error)
    return {"status": status, "out": out.getvalue(), "error": error.getvalue(), **asdict(seen)}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for job in json.loads(Path(sys.argv[1]).read_text()):
        print(json.dumps(run(*job)), flush=True)
