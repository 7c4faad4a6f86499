"""A finished study, read from its files; loads no torch and writes nothing into the study's folder."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workbench.notebook.curves import Row, read_metrics
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.figures import draw
from workbench.study.plan import Plan, load
from workbench.study.results import COMPLETE, Value, collect
from workbench.study.tables import Table, build_table


class NoStudyError(ValueError):
    """There is nothing to show; a notebook says so in one line."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Study:
    """The plan of a study, the values that its files hold, and the table made of them."""

    folder: Path
    plan: Plan
    values: list[Value]
    table: Table


@dataclass(frozen=True)
class Picture:
    """A PNG with its caption, and the name of the file that a report gives it."""

    name: str
    caption: str
    png: bytes


def open_study(folder: Path) -> Study:
    """Read a folder that `python -m workbench.sweep` wrote, as results/ablate_shift or results/reference/ablate_shift.

    Raises NoStudyError, one line, if it is not there, is no study, or holds no finished value.
    """
    if not folder.is_dir():
        raise NoStudyError(
            f"{folder}: no such folder. Run `python -m workbench.sweep sweeps/ablate_shift.yaml` and set "
            "WORKBENCH_STUDY=results/ablate_shift, or name the folder of another study."
        )
    try:
        plan = load(folder)
    except SweepError as error:
        raise NoStudyError(str(error)) from error
    values = collect(plan, folder)
    if not any(value.status == COMPLETE for value in values):
        raise NoStudyError(
            f"{folder}: none of its {len(values)} values is there. Is the sweep still in its first cell?"
        )
    return Study(folder, plan, values, build_table(plan, values))


def pictures(study: Study, metric: str | None = None) -> list[Picture]:
    """The figures of the study's report, drawn anew from its files: differences to the baseline, metrics against steps,
    samples.

    metric: the one whose differences are shown; None takes the objective. ValueError for one that is not in the table.
    """
    table = study.table if metric is None else _led_by(study.table, metric)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "study"
        # draw() writes beside what it reads; committed results stay as they are.
        shutil.copytree(study.folder, root, ignore=shutil.ignore_patterns("*.ckpt", "*.safetensors", "tb", "figures"))
        drawn = [
            Picture(d.path.stem, d.caption, d.path.read_bytes()) for d in draw(study.plan, table, root, study.values)
        ]
    kept = study.folder / "figures" / "samples.png"
    if kept.is_file() and not any(picture.name == "samples" for picture in drawn):  # cells committed without images
        drawn.append(Picture("samples", "Samples, one row an arm, the same prompts and noise.", kept.read_bytes()))
    return drawn


def _led_by(table: Table, metric: str) -> Table:
    """The table with this metric first."""
    chosen = [column for column in table.columns if column.metric == metric]
    if not chosen:
        known = [column.metric for column in table.columns]
        raise ValueError(f"{metric} is no metric of this study.{did_you_mean(metric, known)}")
    return dataclasses.replace(table, columns=(*chosen, *(c for c in table.columns if c.metric != metric)))


def training_rows(study: Study) -> dict[str, list[list[Row]]]:
    """Label of each arm -> the metrics.jsonl rows of its seeds; arms whose trainings were not kept are left out."""
    found: dict[str, list[list[Row]]] = {}
    labels = {row.name: row.label for row in study.plan.rows if row.kind == "arm"}
    for name, folder in _trainings(study.plan):
        if name in labels and (study.folder / folder / "metrics.jsonl").is_file():
            found.setdefault(labels[name], []).append(read_metrics(study.folder / folder))
    return found


def _trainings(plan: Plan) -> Iterator[tuple[str, str]]:
    """(row, folder of its cell), once for each training of a row."""
    folders = {cell.key: cell.folder for cell in plan.cells if cell.training is not None}
    seen = set()
    for entry in plan.entries:
        pair = (entry.row, folders.get(entry.cell, ""))
        if pair[1] and pair not in seen:
            seen.add(pair)
            yield pair
