"""A copy of a finished search that is small enough to commit: trials, their looks and the confirmation, no weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from workbench.study import plan as plans
from workbench.study.errors import SweepError
from workbench.study.files import explained
from workbench.study.reference import CELL, EVALUATION, STUDY, _copy, copy_reference
from workbench.study.search.folder import NAME, read_folder
from workbench.study.search.publish import publish_search
from workbench.study.search.trials import FAILED, INTERMEDIATE, OPEN, Trials


def copy_search(root: Path, target: Path) -> None:
    """Copy the search in `root` to `target`, with table, figures and page written again there.

    An older copy of the same search is replaced, by rename, once the new one is whole. Raises SweepError while trials
    or the confirmation are open, and for a `target` that holds anything else.
    """
    search, _ = read_folder(root)
    standings = Trials(root).standings()
    open_trials = [s.trial.name for s in standings if s.state in (OPEN, FAILED)]
    left = search.trials - len(standings)
    if open_trials or left > 0:
        what = f"{open_trials[0]} is among them" if open_trials else "some were not asked yet"
        raise SweepError(
            f"{root}: {len(open_trials) + max(0, left)} of {search.trials} trials have no result, {what}. Only a "
            "finished search is a reference: run it again, it goes on."
        )
    if target.exists() and not _is_copy_of(search.study, target):
        raise SweepError(f"{target}: exists, and is no copy of the search {search.study}. Choose another folder.")
    fresh = target.with_name(f".tmp-{target.name}")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _copy((*STUDY, NAME), root, fresh)
        for trial in (s.trial for s in standings):
            _copy(("trial.json", "plan.json"), root / trial.name, fresh / trial.name)
            if trial.plan is None:
                continue
            _copy((*CELL, INTERMEDIATE), root / trial.cell.folder, fresh / trial.cell.folder)
            for task in trial.cell.tasks:
                evaluation = Path(trial.cell.folder) / "evaluations" / task.key
                _copy(EVALUATION, root / evaluation, fresh / evaluation)
        below = root / search.confirmation
        if (below / "plan.json").is_file():
            copy_reference(plans.load(below), below, fresh / search.confirmation)
        publish_search(fresh)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    except OSError as error:
        raise explained(error, target) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _is_copy_of(study: str, target: Path) -> bool:
    try:
        return read_folder(target)[0].study == study
    except SweepError:
        return target.is_dir() and not any(target.iterdir())
