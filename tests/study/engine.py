"""Sweeps of fake cells as real processes, and what a test wants to know of them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.study.fakes import sweep, write
from workbench.study import plan as plans
from workbench.study.results import cell_result

HERE = Path(__file__).resolve().parents[2]
TABLES = ("table.md", "table.csv", "table.tex", "table.html", "values.csv")


def command(path: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "tests.study.fake_sweep", str(path), "--results", str(path.parent / "results"), *more]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "LEASE": "3", **changes}


def start(path: Path, *more: str, **changes: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(path, *more), cwd=HERE, env=environment(**changes), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def run(path: Path, *more: str, status: int = 0, **changes: str) -> str:
    process = start(path, *more, **changes)
    out = process.communicate(timeout=400)[0]
    assert process.returncode == status, out
    return out


def shifts(folder: Path, kind: str, **changes: Any) -> Path:
    """One factor: no shift against a shift of this kind; two seeds."""
    factors = {"shift": {"none": {}, "other": {"model.shift": kind}}}
    return write(folder, sweep(**{"factors": factors, "baseline": {"shift": "none"}, "seeds": 2, **changes}))


def root_of(path: Path) -> Path:
    return path.parent / "results" / path.stem


def starts(path: Path) -> dict[str, int]:
    """How often each cell was started."""
    root = root_of(path)
    return {
        file.parent.relative_to(root).as_posix(): len(file.read_text().splitlines())
        for file in root.glob("*/*/starts.txt")
    }


def unfinished(path: Path) -> list[str]:
    root = root_of(path)
    plan = plans.load(root)
    return [cell.folder for cell in plan.cells if cell_result(plan, cell, root) is None]


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def processes(path: Path) -> dict[int, str]:
    """Processes of this sweep: those whose command line or working cell names its folder."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                output = os.readlink(entry / "fd" / "1")
            except OSError:
                continue
            if str(path.parent) in line or str(path.parent) in output:
                found[int(entry.name)] = line
    return found


def workers(path: Path) -> list[int]:
    return [pid for pid, line in processes(path).items() if "workbench.study.worker" in line]


def slow_sweep() -> dict[str, Any]:
    factors = {"shift": {"none": {}, "slow": {"model.shift": "slow"}, "constant": {"model.shift": "constant"}}}
    references = {"teacher-25": {"evaluation.subject": "teacher", "evaluation.num_inference_steps": 25}}
    return sweep(factors=factors, baseline={"shift": "none"}, seeds=2, references=references, set={"train.updates": 6})
