"""What a child of a sweep does: train, evaluate, write the result. `python -m workbench.sweep` starts it.

The imports below stand at the top on purpose: the fork server imports this module once, and every cell is a fork of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from workbench import evaluate, train
from workbench.study.files import read_json, write_json
from workbench.study.heartbeat import Steps, beat

EVALUATION_LIMIT = 3600.0  # seconds that one evaluation may be silent


def run_cell(folder: Path) -> None:
    """Train as folder/config.yaml says, score as folder/evaluations.yaml says, and write folder/result.json last.

    What is already there is not done again: a finished training (training.json), a finished evaluation
    (evaluations/<key>/evaluation.json). A training that diverges is a result, with the step at which it did. Raises what
    training and evaluation raise.
    """
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    wanted: dict[str, Any] = yaml.safe_load((folder / "evaluations.yaml").read_text())
    started = time.monotonic()
    result = {"key": wanted["key"], "training": wanted["training"], "status": "complete"}
    if wanted["training"] is not None:
        step = _train(folder, config, wanted["training"], share=0.8)
        if step is not None:
            write_json(folder / "result.json", {**result, "status": "diverged", "step": step})
            return
    if int(os.environ.get("LOCAL_RANK", "0")):
        return  # further ranks are there for the training only
    evaluations = {}
    base = 0.8 if wanted["training"] is not None else 0.0
    for index, task in enumerate(wanted["evaluations"]):
        progress = base + (1 - base) * index / len(wanted["evaluations"])
        beat(folder, f"evaluating {index + 1}/{len(wanted['evaluations'])}", progress, EVALUATION_LIMIT)
        evaluations[task["key"]] = _evaluate(
            folder, {**config, "evaluation": task["evaluation"]}, task["key"], wanted["training"]
        )
    seconds = round(time.monotonic() - started, 2)  # of this attempt
    write_json(folder / "result.json", {**result, "evaluations": evaluations, "seconds": seconds})


def _train(folder: Path, config: dict[str, Any], training: str, share: float) -> int | None:
    """Train unless that is done; returns the step at which the training diverged, or None."""
    done = read_json(folder / "training.json")
    if isinstance(done, dict) and done.get("training") == training:
        return None
    started = time.monotonic()
    updates = int(config["train"]["student_updates"])
    steps = Steps(folder, "training")
    beat(folder, "training", 0.0, 900.0)  # loading, and the first step
    try:
        train.run(config, folder, stop=_stop(folder, steps, updates, share), quiet=True)
    except train.Diverged as error:
        return int(getattr(error, "step", error.args[0] if error.args else 0))
    seconds = round(time.monotonic() - started, 2)
    write_json(folder / "training.json", {"training": training, "seconds": seconds, "updates": updates})
    return None


def _stop(folder: Path, steps: Steps, updates: int, share: float) -> Callable[[], bool]:
    """The training asks after each step whether to stop; that it asks is its sign of life."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        steps(share * min(1.0, asked / updates))
        return (folder / "STOP").exists()

    return stop


def _evaluate(folder: Path, config: dict[str, Any], key: str, training: str | None) -> dict[str, Any]:
    """The evaluation's file, written now or found."""
    out = folder / "evaluations" / key
    found = read_json(out / "evaluation.json")
    if not isinstance(found, dict):
        out.mkdir(parents=True, exist_ok=True)
        evaluate.evaluate(config, folder if training is not None else None, out)
        found = read_json(out / "evaluation.json")
    if not isinstance(found, dict):
        raise RuntimeError(f"{out}: the evaluation wrote no evaluation.json")
    return {name: found[name] for name in ("metrics", "n", "extractors") if name in found}
