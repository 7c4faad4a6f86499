"""A copy of a finished study that is small enough to commit: every figure and its provenance, no weights."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

from workbench.study.errors import SweepError
from workbench.study.files import explained
from workbench.study.names import check_links
from workbench.study.plan import Plan, load
from workbench.study.publish import publish
from workbench.study.results import cell_result

STUDY = ("plan.json", "provenance.json", "sweep.yaml")
CELL = ("config.yaml", "evaluations.yaml", "provenance.json", "metrics.jsonl", "result.json")
EVALUATION = ("evaluation.json", "grid.png")


def copy_reference(plan: Plan, root: Path, target: Path) -> None:
    """Copy the study in `root` to `target`, with tables, figures and page written again there.

    An older copy of the same study is replaced, by rename, once the new one is whole. Raises SweepError for cells that
    have no result yet, and for a `target` that holds anything else.
    """
    open_cells = [cell.folder for cell in plan.cells if cell_result(plan, cell, root) is None]
    if open_cells:
        raise SweepError(
            f"{root}: {len(open_cells)} of {len(plan.cells)} cells have no result, {open_cells[0]} among them. Only a "
            "finished study is a reference: run the sweep again, it goes on."
        )
    check_links(root)
    if target.is_symlink():
        raise SweepError(f"{target}: is a symbolic link. Name the folder that it leads to, or another one.")
    if target.exists() and not _is_copy_of(plan, target):
        raise SweepError(f"{target}: exists, and is no copy of the study {plan.study}. Choose another folder.")
    fresh = target.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        fresh.mkdir(parents=True)  # it is not there, so that it is no link either
        _copy(STUDY, root, fresh)
        for cell in plan.cells:
            _copy(CELL, root / cell.folder, fresh / cell.folder)
            for task in cell.tasks:
                evaluation = Path(cell.folder) / "evaluations" / task.key
                _copy(EVALUATION, root / evaluation, fresh / evaluation)
        publish(plan, fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        problem = explained(error, target)
        if isinstance(problem, SweepError):
            raise problem from error
        raise SweepError(f"{target}: cannot be written ({error.strerror}). Nothing was replaced.") from error


def _copy(names: tuple[str, ...], source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        if (source / name).is_file():  # a diverged cell has no evaluation, a reference no training
            shutil.copyfile(source / name, target / name)


def _is_copy_of(plan: Plan, target: Path) -> bool:
    try:
        return load(target).study == plan.study
    except SweepError:
        return target.is_dir() and not any(target.iterdir())
