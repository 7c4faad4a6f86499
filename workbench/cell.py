"""What a child of a sweep does: train, evaluate, write the result. `python -m workbench.sweep` starts it.

The imports below stand at the top on purpose: the fork server imports this module once, and every cell is a fork of it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch.distributed as dist

import workbench.libraries  # noqa: F401
from workbench.cluster import is_further_rank
from workbench.data.wardrobe.garments import garments
from workbench.distill.module import Diverged
from workbench.evaluation.run import evaluate_run
from workbench.evaluation.selection import select_snapshot
from workbench.intermediate import Looks
from workbench.safe_yaml import read_yaml
from workbench.study.files import read_json, write_json
from workbench.study.heartbeat import Steps, beat
from workbench.study.results import is_trained
from workbench.training.provenance import code
from workbench.training.run import Run

LOADING_LIMIT = 900.0  # seconds that loading, or the first batch, may be silent
TRAINING_SHARE = 0.8  # of the progress that is shown


def prepare() -> None:
    """What is alike for every cell, done once before the fork server forks them: which code they run (that which was
    imported here, whatever is checked out meanwhile), and the shipped images. Leaves no thread, touches no GPU."""
    code()
    for fold in ("teacher", "test"):
        garments(fold)


def run_cell(folder: Path) -> None:
    """Train as folder/config.yaml says, score as folder/evaluations.yaml says, and write folder/result.json last.

    What is already there is not done again: a finished training (training.json), a finished evaluation
    (evaluations/<key>/evaluation.json). A training that diverges is a result, with the last step that was sound. Raises
    what training and evaluation raise.
    """
    config: dict[str, Any] = read_yaml(folder / "config.yaml")
    wanted: dict[str, Any] = read_yaml(folder / "evaluations.yaml")
    started = time.monotonic()
    result = {"key": wanted["key"], "training": wanted["training"], "status": "complete"}
    if wanted["training"] is not None:
        step = _train(folder, config, wanted)
        if _is_further_rank():
            return  # it was there for the training only
        if step is not None:
            write_json(folder / "result.json", {**result, "status": "diverged", "step": step})
            return
    evaluations = {}
    count = len(wanted["evaluations"])
    begin = TRAINING_SHARE if wanted["training"] is not None else 0.0
    for index, task in enumerate(wanted["evaluations"]):
        scored = {**config, "evaluation": task["evaluation"]}
        where = begin + (1 - begin) * index / count, (1 - begin) / count
        name = f"{index + 1}/{count}"
        evaluations[task["key"]] = _evaluate(folder, scored, task, wanted["training"], name, where)
    seconds = round(time.monotonic() - started, 2)  # of this attempt
    write_json(folder / "result.json", {**result, "evaluations": evaluations, "seconds": seconds})


def _is_further_rank() -> bool:
    return is_further_rank(os.environ)


def _train(folder: Path, config: dict[str, Any], wanted: dict[str, Any]) -> int | None:
    """Train unless that is done; returns the last sound step of a training that diverged, or None.

    wanted: `training`, its identity; `intermediate`, when to look at the student on the way, and how (see
    workbench.intermediate); `keep_checkpoints`, without which none is written at the end, to be removed at once.
    """
    training, intermediate = wanted["training"], wanted.get("intermediate")
    if is_trained(folder, training):
        return None
    started = time.monotonic()
    updates = int(config["train"]["student_updates"])
    if not _is_further_rank():
        beat(folder, "training", 0.0, LOADING_LIMIT)
    try:
        looks = None if intermediate is None else Looks(folder, config, intermediate, TRAINING_SHARE)
        Run(
            config, folder, stop=_stop(folder, updates), quiet=True, on_update=looks,
            final_checkpoint=wanted.get("keep_checkpoints", True),
        ).train()  # fmt: skip
    except Diverged as error:
        return error.step
    finally:
        if dist.is_available() and dist.is_initialized():  # the first rank evaluates alone; the others leave
            dist.destroy_process_group()
    if not _is_further_rank():
        seconds = round(time.monotonic() - started, 2)
        write_json(folder / "training.json", {"training": training, "seconds": seconds, "updates": updates})
    return None


def _stop(folder: Path, updates: int) -> Callable[[], bool]:
    """The training asks after each update whether to stop; that it asks is its sign of life."""
    steps, asked, main = Steps(folder, "training", LOADING_LIMIT / 10), 0, not _is_further_rank()

    def stop() -> bool:
        nonlocal asked
        asked += 1
        if main:
            steps(TRAINING_SHARE * min(1.0, asked / updates))
        return (folder / "STOP").exists()

    return stop


def _evaluate(
    folder: Path,
    config: dict[str, Any],
    task: dict[str, Any],
    training: str | None,
    name: str,
    where: tuple[float, float],
) -> dict[str, Any]:
    """The evaluation's file, written now or found. where: its begin and its share in the progress of the cell.

    With `select` in the task the snapshot is chosen first; what was chosen stands beside the result.
    """
    out = folder / "evaluations" / task["key"]
    found, selected = read_json(out / "evaluation.json"), read_json(out / "selected.json")
    if not isinstance(found, dict):
        out.mkdir(parents=True, exist_ok=True)
        steps = Steps(folder, f"evaluating {name}", LOADING_LIMIT)
        beat(folder, f"evaluating {name}", where[0], LOADING_LIMIT)
        student = folder if training is not None else None
        begin, share = where
        if student is not None and task.get("select"):
            begin, share = begin + share / 2, share / 2
            selected = select_snapshot(
                config, student, out, task["select"], lambda done: steps(where[0] + where[1] / 2 * done)
            )
            write_json(out / "selected.json", selected)
            end = selected["snapshot"] == 1
            config = {
                **config,
                "evaluation": {**config["evaluation"], "snapshot": None if end else selected["snapshot"]},
            }
        evaluate_run(config, student, out, quiet=True, on_progress=lambda done: steps(begin + share * done))
        found = read_json(out / "evaluation.json")
    if not isinstance(found, dict):
        raise RuntimeError(f"{out}: the evaluation wrote no evaluation.json")
    hashes = {**_hashes(found.get("models")), **_hashes(found.get("extractors"))}
    result = {"metrics": found.get("metrics"), "n": found.get("n"), "extractors": hashes}
    return {**result, "selected": selected} if task.get("select") else result


def _hashes(models: Any) -> dict[str, str]:
    """Name -> hash of what measured: the fingerprint, which covers the preprocessing, where there is one."""
    result = {}
    for name, value in models.items() if isinstance(models, dict) else ():
        if isinstance(value, dict) and (sha := value.get("fingerprint") or value.get("weights_sha256")):
            result[str(value.get("name", name))] = str(sha)
    return result
