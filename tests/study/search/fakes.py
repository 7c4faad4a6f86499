"""A small search over the fake configuration, and what tests ask of its folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from workbench.study.search.folder import read_folder
from workbench.study.search.spec import KEYS, Search, parse_search
from workbench.study.search.trials import Standing, Trials

HERE = Path(__file__).resolve().parents[3]
BASE = {
    "seed": 0,
    "teacher": {"path": "fake"},
    "model": {"shift": {"kind": "none", "factor": None}, "decay": 0.9},
    "train": {"updates": 6, "devices": 1, "learning_rate": 1e-4, "sleep": 0.0},
    "evaluation": {
        "subject": "student",
        "num_images": 64,
        "prompts": "report",
        "teacher_steps": 25,
        "num_inference_steps": 2,
    },
}
SPACE: dict[str, Any] = {
    "train.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "model.decay": {"low": 0.5, "high": 0.99},
    "shift": {"choices": {"none": {"model.shift": "none"}, "scale": {"model.shift": "scale"}}},
    "factor": {"key": "model.shift.factor", "low": 0.2, "high": 0.9, "under": {"shift": "scale"}},
}


def raw_search(**changes: Any) -> dict[str, Any]:
    """A file of six trials; keys of the file and of its search may be changed, None removes one."""
    spec = {"trials": 6, "minimise": "FD[judge]", "space": SPACE, "confirm": {"seeds": 2}}
    raw: dict[str, Any] = {"question": "Which is best?", "base": "base.yaml"}
    raw |= {"metrics": {"CLIP[wardrobe]": "max"}, "run": {"retries": 1}}
    for key, value in changes.items():
        (spec if key in KEYS else raw)[key] = value
    spec = {key: value for key, value in spec.items() if value is not None}
    return {**{key: value for key, value in raw.items() if value is not None}, "search": spec}


def write(folder: Path, raw: Mapping[str, Any], name: str = "tune", **train: Any) -> Path:
    """Write the search and its base; returns the search's path. train: changes of the base's training."""
    (folder / "base.yaml").write_text(yaml.safe_dump({**BASE, "train": {**BASE["train"], **train}}))  # type: ignore[dict-item]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(dict(raw), sort_keys=False))
    return path


def search_of(folder: Path, **changes: Any) -> Search:
    """The checked search of a file in `folder`."""
    raw = raw_search(**changes)
    return parse_search(raw, write(folder, raw))


def start(path: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m workbench.sweep FILE` with the fake configuration and the fake cell."""
    command = [sys.executable, "-m", "tests.study.search.fake_search", str(path)]
    return subprocess.Popen(
        [*command, "--results", str(path.parent / "results"), *more], cwd=HERE, text=True,
        env={**os.environ, "LEASE": "30", **environment},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def run(path: Path, *more: str, status: int = 0, **environment: str) -> str:
    """Run it to its end, which must have this status; returns what it said."""
    process = start(path, *more, **environment)
    out = process.communicate(timeout=500)[0]
    assert process.returncode == status, out
    return out


def root_of(path: Path) -> Path:
    return path.parent / "results" / path.stem


def standings(path: Path) -> list[Standing]:
    return Trials(root_of(path)).standings()


def states(path: Path) -> Counter[str]:
    return Counter(s.state for s in standings(path))


def values(path: Path) -> list[dict[str, Any]]:
    return [dict(s.trial.values) for s in standings(path)]


def starts(path: Path) -> dict[str, int]:
    """How often each trial's training was started."""
    found = root_of(path).glob("trial-*/*/starts.txt")
    return {file.parent.parent.name: len(file.read_text().splitlines()) for file in found}


def steps(path: Path) -> dict[str, list[int]]:
    """The steps that each trial's training made, in order, over all its starts."""
    found = root_of(path).glob("trial-*/*/steps.txt")
    return {file.parent.parent.name: [int(line) for line in file.read_text().split()] for file in found}


def optuna_states(path: Path, storage: str | None = None) -> Counter[str]:
    """States of the trials in Optuna's record."""
    import optuna

    from workbench.study.ledger import open_storage

    search, key = read_folder(root_of(path))
    study = optuna.load_study(study_name=f"{search.study}-{key[:6]}", storage=open_storage(storage, root_of(path)))
    return Counter(trial.state.name for trial in study.trials)


def until(condition: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def read(path: Path) -> Any:
    return json.loads(path.read_text())
