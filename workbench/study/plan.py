"""The plan: every row of the table, every cell to run, and which file answers which entry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from workbench.files import ReadingError
from workbench.safe_json import read_json
from workbench.study.decoding import decode
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.files import write_text
from workbench.study.names import slug
from workbench.study.sweep_file import Levels, Run

FORMAT = 1  # of plan.json
OF_ARMS = ("student", "target")  # what an arm evaluates; a reference has the teacher or real images
MAX_BYTES = 512_000_000  # of plan.json; twenty thousand cells have some 200 MB


@dataclass(frozen=True)
class Task:
    """One evaluation of one cell. key: hash of the student's training, the settings and the assets that are read."""

    key: str
    settings: Mapping[str, Any]  # the resolved `evaluation` group
    select: Mapping[str, Any] | None = None  # how the snapshot to score is chosen first; None: as the settings say


@dataclass(frozen=True)
class Cell:
    """What one child process does: at most one training, then its evaluations."""

    key: str  # hash of the training and of all tasks
    folder: str  # relative to the study: arm/seed0-1a2b3c4d
    training: str | None  # hash of the training, None where there is none: a reference, an arm that scores its target
    arm: str
    seed: int | None  # of the training, or of the evaluation's noise where there is none
    levels: Levels
    config: Mapping[str, Any]  # fully resolved
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str  # a slug
    label: str  # "shift = scale"
    kind: Literal["arm", "reference"]
    levels: Levels = field(default_factory=dict)
    real_data: bool | None = None  # whether its training reads real images; None: not known, or no training


@dataclass(frozen=True)
class Entry:
    """One value of one row: which cell and task give it."""

    row: str
    seed: int | None
    evaluation: Levels  # level of each evaluation factor
    cell: str
    task: str
    subject: str  # student, target, teacher or real
    num_inference_steps: int | None


@dataclass(frozen=True)
class Plan:
    """A sweep file with everything decided. A pure function of the file, its base and the assets that they read."""

    study: str
    question: str
    design: str
    baseline: str  # name of the row that differences are taken to
    seeds: tuple[int, ...]
    metrics: Mapping[str, str]  # name -> "min", "max" or "zero"
    evaluations: tuple[Levels, ...]
    factors: Mapping[str, tuple[str, ...]]  # name -> levels
    run: Run
    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]  # in the order of the queue
    entries: tuple[Entry, ...]
    assets: Mapping[str, str] = field(default_factory=dict)
    primary: Mapping[str, str] = field(default_factory=dict)  # row -> its primary metric
    budget: float | None = None  # network passes of every training
    columns: tuple[str, ...] = ()  # facts of a row beside its metrics, see facts.py

    @property
    def objective(self) -> str:
        """The first metric."""
        return next(iter(self.metrics))

    def cell(self, key: str) -> Cell:
        """The cell with this key. KeyError for a cell of another plan."""
        return next(cell for cell in self.cells if cell.key == key) if key in self.keys else _missing(key)

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all cells."""
        return frozenset(cell.key for cell in self.cells)

    def of(self, row: str) -> Iterator[Entry]:
        """The entries of a row, in order."""
        return (entry for entry in self.entries if entry.row == row)

    def only(self, names: list[str]) -> Plan:
        """The plan of these rows, with the baseline that they are compared with."""
        known = [row.name for row in self.rows]
        for name in names:
            if name not in known:
                raise SweepError(f"--only {name}: there is no such row.{did_you_mean(name, known)}")
        rows = tuple(row for row in self.rows if row.name in {*names, self.baseline})
        kept = {row.name for row in rows}
        entries = tuple(entry for entry in self.entries if entry.row in kept)
        tasks = {entry.task for entry in entries}
        cells = tuple(cell for cell in self.cells if any(task.key in tasks for task in cell.tasks))
        return replace(self, rows=rows, entries=entries, cells=cells)


def _missing(key: str) -> Cell:
    raise KeyError(key)


def as_text(plan: Plan) -> str:
    """What plan.json holds. Its keys keep their order: the first metric is the objective."""
    return json.dumps({"format": FORMAT, **asdict(plan)}, indent=1, allow_nan=False) + "\n"


def save(plan: Plan, folder: Path) -> None:
    """Write folder/plan.json."""
    write_text(folder / "plan.json", as_text(plan))


def load(folder: Path) -> Plan:
    """Read folder/plan.json. SweepError where there is none, or one of another format."""
    file = folder / "plan.json"
    try:
        raw = read_json(file, MAX_BYTES)
    except OSError as error:
        raise SweepError(
            f"{folder}: holds no plan.json, so it is no study. A study is a folder like results/ablate_shift."
        ) from error
    except ReadingError as error:
        raise SweepError(f"{error} It is no study: run the sweep again, finished cells are kept.") from error
    if not isinstance(raw, dict):
        raise SweepError(f"{file}: must hold a JSON object.")
    if raw.pop("format", None) != FORMAT:
        raise SweepError(
            f"{folder}/plan.json: was written by another version. Run the sweep again: finished cells are kept."
        )
    plan: Plan = decode(Plan, raw, str(file))
    _check(plan, file)
    return plan


def _check(plan: Plan, file: Path) -> None:
    """What becomes a file's name or is looked up by name fits, as in a plan that `make_plan` made."""
    slug(plan.study, f"{file}: the study")
    for row in plan.rows:
        slug(row.name, f"{file}: the row")
    rows, cells = {row.name for row in plan.rows}, {cell.key: cell for cell in plan.cells}
    for cell in plan.cells:
        parts = cell.folder.split("/")
        for part in parts:
            slug(part, f"{file}: the cell")
        if len(parts) != 2:
            raise SweepError(f"{file}: the cell {cell.folder[:100]!r} must be arm/name.")
        for key in (cell.key, *(task.key for task in cell.tasks)):
            slug(key, f"{file}: the key")
    # A search has a plan before its first trial, which is its baseline, has come.
    is_based = plan.baseline in rows or plan.design == "search"
    if not is_based or not plan.metrics or not plan.evaluations or not plan.seeds:
        raise SweepError(f"{file}: lacks its baseline, metrics, evaluations or seeds.")
    for metric in plan.metrics:
        if len(metric) > 100 or not metric.isprintable():
            raise SweepError(f"{file}: {metric[:100]!a} is no metric's name.")
    for entry in plan.entries:
        tasks = {task.key for task in cells[entry.cell].tasks} if entry.cell in cells else set()
        if entry.row not in rows or entry.task not in tasks or entry.evaluation not in plan.evaluations:
            raise SweepError(f"{file}: an entry of the row {entry.row[:60]!a} names what the plan does not have.")


def adopt(plan: Plan, folder: Path) -> Plan:
    """The plan with the folders that its trainings already have: one that moved to another arm is not repeated.

    References, which have no training, are left where they are: the names of their folders all end alike.
    """
    cells = []
    taken = {cell.folder for cell in plan.cells}
    for cell in plan.cells:
        if cell.seed is not None and not (folder / cell.folder).exists():
            name = Path(cell.folder).name
            found = sorted(path for path in folder.glob(f"*/{name}") if path.is_dir() and not path.is_symlink())
            free = [place for path in found if (place := path.relative_to(folder).as_posix()) not in taken]
            if free:
                cell = replace(cell, folder=free[0])
                taken.add(free[0])
        cells.append(cell)
    return replace(plan, cells=tuple(cells))
