"""The texts of a table's cells, the same in every format."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.study.facts import FACTS
from workbench.study.statistics import Comparison
from workbench.study.tables.model import Column, Figure, Line, Table
from workbench.study.tables.primary import BETTER, WORSE, outcomes, verdict

MINUS = "−"
PRIMARY = "†"  # behind a row's primary metric


@dataclass(frozen=True)
class Text:
    """A cell: the main line, a smaller one below, and whether the main line is bold."""

    main: str
    below: str = ""
    bold: bool = False


def number(value: float, decimals: int, sign: bool = False) -> str:
    """A number with a true minus; '-0.00' is written as zero."""
    text = f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-+")
    return text.replace("-", MINUS)


def p_value(p: float | None) -> str:
    """'.012', '< .001', or '' for none."""
    if p is None:
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def header(table: Table) -> list[Text]:
    """One text a column: the row's name, the metrics, and the objective's further columns."""
    texts = [Text("")]
    for index, column in enumerate(table.columns):
        texts.append(Text(f"{column.metric} {column.arrow}", column.detail))
        if index == 0:
            texts += [Text("p"), Text("teacher"), Text("gap")]
    return [*texts, *(Text(*FACTS[name]) for name in table.facts)]


MOST_COLUMNS = 9  # the row's name included: what a page takes


def parts(table: Table) -> list[list[int]]:
    """Which columns stand side by side: all of them, or, where they are too many for a page, one part after another.

    Every part begins with the row's name. The first one has the objective with what belongs to it, the facts of the
    rows have one of their own; metrics are divided evenly.
    """
    total = len(header(table))
    if total <= MOST_COLUMNS:
        return [list(range(total))]
    facts = list(range(total - len(table.facts), total))
    metrics = list(range(1, total - len(table.facts)))
    most = MOST_COLUMNS - 1
    first, rest = metrics[:most], metrics[most:]
    count = -(-len(rest) // most)
    cuts = [len(rest) * number // count for number in range(count + 1)] if count else [0]
    found = [first, *(rest[a:b] for a, b in zip(cuts, cuts[1:], strict=False)), facts]
    return [[0, *columns] for columns in found if columns]


def cells(table: Table, line: Line) -> list[Text]:
    """The texts of one line, as many as the header has."""
    name = line.row.label + (" (inert)" if line.inert else "")
    missing = line.seeds - line.complete - len(line.diverged) - len(line.failed)
    remarks = [f"failed {len(line.failed)}/{line.seeds or 1} ({line.failed[0]})"] if line.failed else []
    if line.complete and line.seeds and missing:
        remarks.append(f"{line.complete}/{line.seeds} seeds")
    texts = [Text(name, ", ".join(remarks))]
    for index, column in enumerate(table.columns):
        figure = line.figures[column.metric]
        texts.append(_figure(figure, column, line, table.primary.get(line.row.name) == column.metric))
        if index == 0:
            untested = figure.comparison is not None and figure.comparison.n >= 3 and figure.comparison.p is None
            texts.append(Text("n/a" if untested else p_value(figure.p_holm)))
            texts.append(Text("" if figure.percent_of_teacher is None else f"{figure.percent_of_teacher:.1f} %"))
            texts.append(Text("" if figure.gap_closed is None else number(figure.gap_closed, 0) + " %"))
    return [*texts, *(Text(line.facts.get(name, "")) for name in table.facts)]


def _figure(figure: Figure, column: Column, line: Line, is_primary: bool) -> Text:
    if line.diverged:
        return Text(
            f"diverged {len(line.diverged)}/{line.seeds or 1}",
            ", ".join(d.removeprefix("diverged ") for d in line.diverged),
        )
    if line.pruned:
        return Text("pruned", ", ".join(note.removeprefix("pruned ") for note in line.pruned))
    if figure.mean is None:
        return Text("…" if not line.complete else "–")
    below = "" if figure.comparison is None else difference(figure.comparison, column.decimals)
    return Text(number(figure.mean, column.decimals) + (f" {PRIMARY}" if is_primary else ""), below, figure.bold)


def difference(comparison: Comparison, decimals: int) -> str:
    """'+0.20 [−0.11, +0.51] 1/3 ≈': the paired difference, its interval, seeds that are better, equivalence."""
    text = number(comparison.difference, decimals, sign=True)
    if comparison.low is not None and comparison.high is not None:
        ends = [number(end, decimals, sign=True) for end in (comparison.low, comparison.high)]
        text += f" [{', '.join(ends)}]" if comparison.is_interval else f" ({' to '.join(ends)})"
    elif comparison.n >= 3:
        text += " [n/a]"
    text += f" {comparison.better}/{comparison.n}"
    return text + (" ≈" if comparison.p_equivalent is not None and comparison.p_equivalent < 0.05 else "")


@dataclass(frozen=True)
class Further:
    """A table below the main one. The first column and those that hold words stand left, numbers right."""

    title: str
    head: tuple[str, ...]
    is_number: tuple[bool, ...]
    rows: list[list[Text]]
    notes: list[str]


def further(table: Table) -> list[Further]:
    """Primary outcomes where the file names any; main effects and interactions of a factorial."""
    return [part for part in (_primary(table), _effects(table)) if part.rows]


def _primary(table: Table) -> Further:
    decimals = {column.metric: column.decimals for column in table.columns}
    rows = [
        [
            Text(outcome.line.row.label),
            Text(outcome.block.title),
            Text(outcome.metric),
            Text(difference(outcome.comparison, decimals[outcome.metric])),
            Text(outcome.verdict, bold=outcome.verdict in (BETTER, WORSE)),
            Text(p_value(outcome.p_holm)),
        ]
        for outcome in outcomes(table)
    ]
    lines = [line for block in table.blocks for line in block.lines]
    label = next((line.row.label for line in lines if line.row.name == table.baseline), table.baseline)
    notes = [
        f"One metric a switch, named in the sweep file before it ran. Difference: row {MINUS} {label}.",
        "Verdict: better or worse where the 95 % interval of the paired difference excludes zero; inert: equal bit for "
        "bit. p: after Holm's correction over the primary outcomes of the same evaluation alone.",
    ]
    head = ("primary outcome", "under", "metric", "difference", "verdict", "p")
    return Further("Primary outcomes", head, (False, False, False, True, False, True), rows, notes)


def _effects(table: Table) -> Further:
    """Of the objective; table.csv's neighbour effects.csv has those of every metric."""
    column = table.columns[0]
    rows = [
        [
            Text(effect.name),
            Text(effect.under),
            Text(difference(effect.comparison, column.decimals)),
            Text(found, bold=found in (BETTER, WORSE)),
            Text(p_value(effect.p_holm)),
        ]
        for effect in table.effects
        if effect.metric == column.metric
        for found in [verdict(effect.comparison, "min" if column.direction == "zero" else column.direction)]
    ]
    notes = [
        f"{column.metric}. Main effect: what a level changes against the baseline's, averaged over all combinations "
        "of the other factors, by seed.",
        "Interaction (×): half of how much the effect of the one differs beside the other from its effect without; at "
        "zero the two just add up, and worse means worse than that.",
        "Intervals, seeds and verdicts as above; p: after Holm's correction over the effects of the same evaluation.",
    ]
    seeds = max((line.seeds for block in table.blocks for line in block.lines), default=0)
    fewest = min((e.comparison.n for e in table.effects if e.metric == column.metric), default=seeds)
    if fewest < seeds:
        notes.append(f"Over the seeds of which every combination is there: {fewest} of {seeds}.")
    head = ("effect", "under", "difference", "verdict", "p")
    return Further("Main effects and interactions", head, (False, False, True, False, True), rows, notes)
