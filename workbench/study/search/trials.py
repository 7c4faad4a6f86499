"""The trials of a search as their files tell them. The files are the truth; Optuna's record is made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workbench.files import ReadingError, read_bytes
from workbench.safe_json import parse_json
from workbench.study import plan as plans
from workbench.study.errors import SweepError
from workbench.study.files import read_json, write_json
from workbench.study.plan import Cell, Plan
from workbench.study.results import COMPLETE, DIVERGED, FAILED, PRUNED, cell_failure, cell_result
from workbench.study.search.parameters import Value
from workbench.study.search.planning import trial_name

REFUSED, OPEN = "refused", "open"
STATES = (COMPLETE, PRUNED, DIVERGED, FAILED, REFUSED, OPEN)
FINISHED = (COMPLETE, PRUNED, DIVERGED, REFUSED)
INTERMEDIATE = "intermediate.jsonl"  # in a cell's folder: written by the training, read by its worker
MAX_LOOKS_BYTES = 1_000_000  # of it; a look has 100


@dataclass(frozen=True)
class Trial:
    """A point that was proposed. plan: of its one cell; None where the parser refused it, for the reason given."""

    number: int
    values: Mapping[str, Value]
    plan: Plan | None
    refused: str = ""

    @property
    def name(self) -> str:
        """Its folder and row."""
        return trial_name(self.number)

    @property
    def cell(self) -> Cell:
        """What is trained and scored; not for a refused one."""
        assert self.plan is not None, self.name
        return self.plan.cells[0]


@dataclass(frozen=True)
class Standing:
    """How far a trial is. scores: metric -> value of a complete one; looks: (percent, value) while it ran."""

    trial: Trial
    state: str
    scores: Mapping[str, float] = field(default_factory=dict)
    looks: tuple[tuple[int, float], ...] = ()
    note: str = ""
    seconds: float | None = None

    def values_of(self, objectives: Mapping[str, str]) -> tuple[float, ...] | None:
        """The objectives' values, None unless the trial is complete and has them all."""
        if self.state != COMPLETE or any(name not in self.scores for name in objectives):
            return None
        return tuple(self.scores[name] for name in objectives)


def write_trial(root: Path, key: str, trial: Trial) -> None:
    """Write trial.json, after the trial's plan.json: what it says no longer changes."""
    write_json(
        root / trial.name / "trial.json",
        {"search": key, "trial": trial.number, "values": dict(trial.values), "refused": trial.refused},
    )


class Trials:
    """Reads the trials of a study's folder. What never changes, a trial's values and plan, is read once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, Trial] = {}

    def read(self) -> list[Trial]:
        """All trials, by number. A folder without a whole trial.json was never proposed."""
        found = []
        for path in sorted(self._root.glob("trial-*/trial.json")):
            trial = self._known.get(path.parent.name) or _read(path)
            if trial is not None:
                self._known[path.parent.name] = trial
                found.append(trial)
        return sorted(found, key=lambda trial: trial.number)

    def standings(self) -> list[Standing]:
        """Every trial with its state."""
        return [standing(trial, self._root) for trial in self.read()]


def _read(path: Path) -> Trial | None:
    raw = read_json(path)
    if not isinstance(raw, dict):
        return None
    number, values = raw.get("trial"), raw.get("values")
    if not isinstance(number, int) or isinstance(number, bool) or trial_name(number) != path.parent.name:
        return None
    if not isinstance(values, dict) or not all(isinstance(value, str | int | float) for value in values.values()):
        return None
    if raw.get("refused"):
        return Trial(number, values, None, str(raw["refused"]))
    try:
        return Trial(number, values, plans.load(path.parent))
    except SweepError:
        return None


def foreign(root: Path, key: str) -> str | None:
    """The name of a trial that another search left here, None where there is none."""
    for path in sorted(root.glob("trial-*/trial.json")):
        raw = read_json(path)
        if isinstance(raw, dict) and raw.get("search") != key:
            return path.parent.name
    return None


def standing(trial: Trial, root: Path) -> Standing:
    """The state of one trial."""
    if trial.plan is None:
        return Standing(trial, REFUSED, note=trial.refused)
    cell = trial.cell
    looks = read_looks(root / cell.folder)
    result = cell_result(trial.plan, cell, root)
    if result is None:
        failure = cell_failure(cell, root)
        if failure:
            return Standing(trial, FAILED, looks=looks, note=f"{failure.get('kind')}: {failure.get('message')}")
        return Standing(trial, OPEN, looks=looks)
    seconds = result.get("seconds") if isinstance(result.get("seconds"), int | float) else None
    if result.get("status") == DIVERGED:
        return Standing(trial, DIVERGED, looks=looks, note=f"diverged @{result.get('step')}")
    if result.get("status") == PRUNED:
        return Standing(trial, PRUNED, looks=looks, note=f"pruned @{result.get('step')}")
    metrics = result["evaluations"][cell.tasks[0].key].get("metrics") or {}
    scores = {str(name): float(value) for name, value in metrics.items() if isinstance(value, int | float)}
    return Standing(trial, COMPLETE, scores, looks, seconds=seconds)


def read_looks(folder: Path) -> tuple[tuple[int, float], ...]:
    """(percent of the updates, value) of every whole line of intermediate.jsonl; one of each percent."""
    try:
        text = read_bytes(folder / INTERMEDIATE, MAX_LOOKS_BYTES).decode(errors="replace")
    except (OSError, ReadingError):
        return ()
    found: dict[int, float] = {}
    for line in text.splitlines(keepends=True):
        try:
            row: Any = parse_json(line, INTERMEDIATE) if line.endswith("\n") else {}
            if isinstance(row.get("value"), int | float) and not isinstance(row["value"], bool):
                found[int(row["percent"])] = float(row["value"])
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return tuple(sorted(found.items()))


def best(standings: Sequence[Standing], objectives: Mapping[str, str]) -> list[Standing]:
    """Complete trials, best first; of equals the earlier one. One objective only."""
    (direction,) = objectives.values()
    sign = 1.0 if direction == "min" else -1.0
    known = [(values[0], s) for s in standings if (values := s.values_of(objectives)) is not None]
    return [s for _, s in sorted(known, key=lambda pair: (sign * pair[0], pair[1].trial.number))]


def merged_plan(skeleton: Plan, standings: Sequence[Standing]) -> Plan:
    """The trials as rows of one plan, for whatever reads a study: `workbench.report`, the notebooks."""
    chosen = [s.trial.plan for s in standings if s.trial.plan is not None]
    if not chosen:
        return skeleton
    rows = tuple(row for plan in chosen for row in plan.rows)
    return replace(
        skeleton,
        baseline=rows[0].name,
        rows=rows,
        cells=tuple(cell for plan in chosen for cell in plan.cells),
        entries=tuple(entry for plan in chosen for entry in plan.entries),
        assets={name: sha for plan in chosen for name, sha in plan.assets.items()},
    )
