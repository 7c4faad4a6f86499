"""From values to a table: means, paired differences, what may be bold, and what has to be said below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from workbench.study.facts import shown
from workbench.study.plan import OF_ARMS, Plan, Row
from workbench.study.results import COMPLETE, DIVERGED, FAILED, PRUNED, Value
from workbench.study.statistics import compare, gap_closed, holm, improves, mean, percent_of
from workbench.study.sweep_file import Levels
from workbench.study.tables.effects import effects
from workbench.study.tables.model import Block, Column, Figure, Line, Table


def build_table(plan: Plan, values: Sequence[Value]) -> Table:
    """The table of the plan with what is there so far. Pure: the same values give the same table, byte for byte."""
    columns = tuple(_column(plan, metric, values) for metric in plan.metrics)
    blocks = tuple(_block(plan, levels, values) for levels in plan.evaluations)
    notes = _notes(plan, blocks, columns)
    return Table(
        plan.study, plan.question, plan.baseline, columns, blocks, notes, plan.primary, plan.columns,
        effects(plan, values),
    )  # fmt: skip


def _column(plan: Plan, metric: str, values: Sequence[Value]) -> Column:
    having = [value for value in values if metric in value.metrics]
    name = metric[metric.find("[") + 1 : metric.rfind("]")] if "[" in metric else ""
    hashes = sorted({value.extractors[name][:8] for value in having if name in value.extractors})
    counts = tuple(sorted({value.num_images for value in having if value.num_images is not None}))
    size = max((abs(value.metrics[metric]) for value in having), default=1.0)
    decimals = 1 if size >= 1_000 else 2 if size >= 10 else 3 if size >= 1 else 4
    return Column(metric, plan.metrics[metric], counts, "/".join(hashes), decimals)


def _block(plan: Plan, levels: Levels, values: Sequence[Value]) -> Block:
    here = [value for value in values if value.entry.evaluation == levels]
    by_row = {row.name: [value for value in here if value.entry.row == row.name] for row in plan.rows}
    scored = {entry.row for entry in plan.entries if entry.evaluation == levels}
    lines = []
    for row in plan.rows:
        mine = by_row[row.name]
        if not mine and row.name not in scored:
            continue  # an arm that is scored elsewhere
        if row.kind == "reference" and any(_repeats(plan, value, levels, values) for value in mine):
            continue  # the teacher at 25 steps is the same under every evaluation: once is enough
        figures = {metric: _figure(plan, metric, mine, by_row[plan.baseline], here, values) for metric in plan.metrics}
        compared = [figure.comparison for figure in figures.values() if figure.comparison]
        lines.append(
            Line(
                row=row,
                figures=figures,
                seeds=len(plan.seeds) if row.kind == "arm" else 0,
                complete=sum(value.status == COMPLETE for value in mine),
                diverged=tuple(value.note for value in mine if value.status == DIVERGED),
                failed=tuple(value.note for value in mine if value.status == FAILED),
                inert=bool(compared) and all(comparison.inert for comparison in compared),
                facts={name: _fact(name, row, mine) for name in plan.columns},
                pruned=tuple(value.note for value in mine if value.status == PRUNED),
            )
        )
    family = sum(line.row.kind == "arm" for line in lines) - 1
    return Block(levels, _corrected(plan, lines), family)


def _repeats(plan: Plan, value: Value, levels: Levels, values: Sequence[Value]) -> bool:
    """Whether an earlier block shows this very task in the same row."""
    for earlier in plan.evaluations:
        if earlier == levels:
            return False
        if any(
            v.entry.task == value.entry.task and v.entry.row == value.entry.row and v.entry.evaluation == earlier
            for v in values
        ):
            return True
    return False


def _figure(
    plan: Plan,
    metric: str,
    mine: Sequence[Value],
    baseline: Sequence[Value],
    here: Sequence[Value],
    everywhere: Sequence[Value],
) -> Figure:
    by_seed = _by_seed(metric, mine)
    diverged = any(value.status == DIVERGED for value in mine)
    centre = mean(list(by_seed.values())) if by_seed and not diverged else None
    is_arm = all(value.entry.subject in OF_ARMS for value in mine)
    comparison = None
    if is_arm and not diverged and mine and mine[0].entry.row != plan.baseline:
        ours = {seed: value for seed, value in by_seed.items() if seed is not None}
        theirs = {seed: value for seed, value in _by_seed(metric, baseline).items() if seed is not None}
        comparison = compare(ours, theirs, plan.metrics[metric])
    improved = comparison is not None and improves(comparison.difference, plan.metrics[metric])
    is_signed = plan.metrics[metric] == "zero"  # a share of a signed difference says nothing
    many = None if is_signed else teacher_value(metric, everywhere, None)
    few = teacher_value(metric, here, mine[0].entry.num_inference_steps) if mine else None
    if few is None and mine:
        few = teacher_value(metric, everywhere, mine[0].entry.num_inference_steps)
    known = centre is not None and many is not None
    return Figure(
        values=by_seed,
        mean=centre,
        comparison=comparison,
        percent_of_teacher=percent_of(centre, many) if centre is not None and many is not None else None,
        gap_closed=gap_closed(centre, few, many)
        if known and is_arm and few is not None and centre is not None and many is not None
        else None,
        bold=bool(comparison and comparison.excludes_zero and improved and not diverged),
    )


def _fact(name: str, row: Row, mine: Sequence[Value]) -> str:
    return shown(name, [value.facts[name] for value in mine if name in value.facts], row.real_data)


def _by_seed(metric: str, values: Iterable[Value]) -> dict[int | None, float]:
    return {value.entry.seed: value.metrics[metric] for value in values if metric in value.metrics}


def teacher_value(metric: str, values: Iterable[Value], steps: int | None) -> float | None:
    """The teacher's value at this number of steps, or at the largest number for None. None where no reference has it.

    The first such reference in the file decides.
    """
    teachers = [value for value in values if value.entry.subject == "teacher"]
    known = [value.entry.num_inference_steps or 0 for value in teachers]
    wanted = max(known, default=0) if steps is None else steps
    found = [v.metrics[metric] for v in teachers if v.entry.num_inference_steps == wanted and metric in v.metrics]
    return found[0] if found else None


def _corrected(plan: Plan, lines: list[Line]) -> tuple[Line, ...]:
    """The lines with p values adjusted over the arms of this block, metric by metric."""
    for metric in plan.metrics:
        tested = [
            (index, line.figures[metric].comparison)
            for index, line in enumerate(lines)
            if line.figures[metric].comparison and line.figures[metric].comparison.p is not None  # type: ignore[union-attr]
        ]
        adjusted = holm([comparison.p for _, comparison in tested if comparison and comparison.p is not None])
        for (index, _), p in zip(tested, adjusted, strict=True):
            figure = replace(lines[index].figures[metric], p_holm=p)
            lines[index] = replace(lines[index], figures={**lines[index].figures, metric: figure})
    return tuple(lines)


def _seeds(plan: Plan) -> tuple[str, str, str]:
    """What the seeds of the plan's arms are: their name, what intervals are over, and what one seed leaves open."""
    subjects = {entry.subject for entry in plan.entries if entry.seed is not None}
    trained = "Intervals are over training seeds: all of them were scored on one set of prompts and noise."
    if "target" not in subjects:
        return "training seed", trained, "the training"
    scored = "targets are scored without a training, on one set of prompts and the noise of each seed."
    if subjects == {"target"}:
        return "evaluation seed", f"Intervals are over evaluation seeds: {scored}", "other noise"
    return "seed", f"{trained.removesuffix('.')}; but {scored}", "the training"


def _notes(plan: Plan, blocks: Sequence[Block], columns: Sequence[Column]) -> tuple[str, ...]:
    seeds = len(plan.seeds)
    lines = [line for block in blocks for line in block.lines]
    label = next(row.label for row in plan.rows if row.name == plan.baseline)
    kind, certain, what = _seeds(plan)
    notes = [f"Mean over {seeds} {kind}{'s' if seeds > 1 else ''}; below it the paired difference to {label}"]
    if seeds == 1:
        notes[0] += f". One seed: no interval, and nothing can be concluded about {what}."
    elif seeds == 2:
        notes[0] += " with its range over two seeds, which is no interval."
    else:
        notes[0] += " with its 95 % Student-t interval, and the seeds in which the row is better."
        notes.append(certain)
        notes.append(
            "Bold: better than the baseline, and the interval does not contain zero; not corrected for the number of "
            "rows and columns."
        )
        if any(f.comparison and f.comparison.low is None for line in lines for f in line.figures.values()):
            notes.append("n/a: the difference is the same in every seed, so that it has no interval and no test.")
        families = {block.family for block in blocks}
        rows = f"{families.pop()} rows" if len(families) == 1 else "the rows"
        notes.append(f"p: paired t test, after Holm's correction over {rows} of the block.")
        if any(
            f.comparison and f.comparison.p_equivalent is not None and f.comparison.p_equivalent < 0.05
            for line in lines
            for f in line.figures.values()
        ):
            notes.append("≈: equivalent to the baseline within ±2 % (two one-sided tests, p < .05).")
    if any(figure.gap_closed is not None for line in lines for figure in line.figures.values()):
        notes.append(
            "Teacher: percent of the teacher's value at its largest number of steps. Gap: (teacher at as many steps "
            "- row) / "
            "(teacher at as many steps - teacher at its largest number of steps)."
        )
    if plan.primary:
        notes.append("†: the row's primary metric, named before the study ran.")
    if any(direction == "zero" for direction in plan.metrics.values()):
        notes.append("→0: signed, best at zero; its differences are those of the magnitudes.")
    for column in columns:
        if len(column.num_images) > 1:
            notes.append(f"{column.metric}: measured on different numbers of images. Its rows must not be compared.")
        if "/" in column.extractor:
            notes.append(f"{column.metric}: measured with different extractors. Its rows must not be compared.")
        if (
            lines
            and any(line.complete for line in lines)
            and not any(line.figures[column.metric].values for line in lines)
        ):
            notes.append(f"{column.metric}: no evaluation wrote this metric. Is it spelt as in evaluation.json?")
    inert = sorted({line.row.label for line in lines if line.inert})
    if inert:
        notes.append(f"Inert: equal to the baseline bit for bit in every seed ({'; '.join(inert)}).")
    return tuple(notes)
