"""The numbers of a study at full precision: a summary, and every single value."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from workbench.study.plan import Plan
from workbench.study.results import Value
from workbench.study.tables.model import Table
from workbench.study.tables.primary import outcomes

SUMMARY = (
    "row", "kind", "evaluation", "metric", "direction", "seeds", "complete", "diverged", "failed", "mean", "difference",
    "low", "high", "better", "compared", "p", "p_holm", "family", "p_equivalent", "percent_of_teacher", "gap_closed",
    "inert", "bold", "num_images", "extractor", "primary", "p_primary",
)  # fmt: skip


def summary_csv(table: Table) -> str:
    """One line for each row, evaluation and metric; low and high are the 95 % t interval where compared >= 3.

    primary: the verdict, in the row's primary metric alone; p_primary: Holm-corrected over the primary outcomes.
    """
    rows: list[list] = []
    primary = {(o.block.title, o.line.row.name): o for o in outcomes(table)}
    for block in table.blocks:
        for line in block.lines:
            for column in table.columns:
                figure, c = line.figures[column.metric], line.figures[column.metric].comparison
                outcome = primary.get((block.title, line.row.name))
                is_primary = outcome is not None and outcome.metric == column.metric
                rows.append(
                    [
                        line.row.name, line.row.kind, block.title, column.metric, column.direction, line.seeds,
                        line.complete, len(line.diverged), len(line.failed), figure.mean,
                        *((c.difference, c.low, c.high, c.better, c.n, c.p) if c else (None,) * 6),
                        figure.p_holm, block.family, c.p_equivalent if c else None, figure.percent_of_teacher,
                        figure.gap_closed, line.inert, figure.bold, " ".join(map(str, column.num_images)),
                        column.extractor, outcome.verdict if outcome and is_primary else None,
                        outcome.p_holm if outcome and is_primary else None,
                    ]
                )  # fmt: skip
    return _write(SUMMARY, rows)


EFFECTS = (
    "effect", "order", "under", "metric", "direction", "difference", "low", "high", "better", "compared", "p", "p_holm",
    "p_equivalent",
)  # fmt: skip


def effects_csv(table: Table) -> str:
    """One line for each main effect (order 1) and interaction (order 2) of a factorial, and each metric."""
    directions = {column.metric: column.direction for column in table.columns}
    rows: list[list] = []
    for effect in table.effects:
        c = effect.comparison
        known = [c.difference, c.low, c.high, c.better, c.n, c.p, effect.p_holm, c.p_equivalent]
        rows.append([effect.name, effect.order, effect.under, effect.metric, directions[effect.metric], *known])
    return _write(EFFECTS, rows)


def values_csv(plan: Plan, values: Sequence[Value]) -> str:
    """One line for each row, evaluation and seed, with every metric that any evaluation wrote."""
    metrics = list(plan.metrics) + sorted({name for value in values for name in value.metrics} - set(plan.metrics))
    factors = list(dict.fromkeys(factor for levels in plan.evaluations for factor in levels))
    head = ("row", "kind", "seed", *factors, "status", "note", "subject", "num_inference_steps", "num_images", *metrics,
            *plan.columns)  # fmt: skip
    real = {row.name: row.real_data for row in plan.rows}
    kinds = {row.name: row.kind for row in plan.rows}
    rows: list[list] = []
    for value in values:
        entry, facts = value.entry, {**value.facts, "real_data": real[value.entry.row]}
        rows.append(
            [
                entry.row, kinds[entry.row], entry.seed, *(entry.evaluation.get(factor) for factor in factors),
                value.status, value.note, entry.subject, entry.num_inference_steps, value.num_images,
                *(value.metrics.get(metric) for metric in metrics), *(facts.get(name) for name in plan.columns),
            ]
        )  # fmt: skip
    return _write(head, rows)


def _write(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    # repr keeps every digit: a reader gets the very float back.
    writer.writerows([[repr(cell) if isinstance(cell, float) else cell for cell in row] for row in rows])
    return out.getvalue()
