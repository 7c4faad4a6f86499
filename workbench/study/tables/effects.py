"""Main effects and interactions of a full factorial: every combination says something about every factor."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from workbench.study.plan import Plan
from workbench.study.results import Value
from workbench.study.statistics import compare, holm, mean
from workbench.study.tables.model import Effect

Point = tuple[str, ...]  # a level of each factor


@dataclass(frozen=True)
class _Grid:
    """All combinations under one number of steps. dims: factor -> its levels, that of the baseline first."""

    under: str
    dims: Mapping[str, tuple[str, ...]]
    values: Mapping[Point, Mapping[int, Mapping[str, float]]]  # by seed: the metrics

    def average(self, fixed: Sequence[Mapping[str, str]], metric: str, is_signed: bool) -> dict[int, float]:
        """By seed: the mean over all combinations that agree with one of `fixed`; of magnitudes where signed."""
        chosen = [p for p in self.values if any(_agrees(dict(zip(self.dims, p, strict=True)), f) for f in fixed)]
        seeds = set.intersection(*({s for s, m in found.items() if metric in m} for found in self.values.values()))
        value = abs if is_signed else float
        return {seed: mean([value(self.values[p][seed][metric]) for p in chosen]) for seed in sorted(seeds)}


def effects(plan: Plan, values: Sequence[Value]) -> tuple[Effect, ...]:
    """Those of every factor, and of every two, for each metric; () for another design or where combinations lack.

    A factor's main effect is the difference that its level makes to its level in the baseline, averaged over all
    combinations of the others, by seed. An interaction is what two levels change together beyond what each changes
    with the other one at the baseline's level, averaged alike and halved: half of the difference between the effect of
    the one beside the other and its effect without. Evaluation factors count as factors where all their levels
    are sampled with the same number of steps. Holm's correction covers the effects on one metric under one evaluation.

    Reference: Box, Hunter & Hunter 2005, "Statistics for Experimenters", chapter 5.
    """
    if plan.design != "factorial":
        return ()
    return tuple(
        effect
        for grid in _grids(plan, values)
        for metric, direction in plan.metrics.items()
        for effect in _corrected(_of_grid(grid, metric, direction))
    )


def _of_grid(grid: _Grid, metric: str, direction: str) -> list[Effect]:
    is_signed = direction == "zero"
    wanted = "min" if is_signed else direction
    found: list[Effect] = []

    def add(name: str, ours: list[Mapping[str, str]], theirs: list[Mapping[str, str]], order: int) -> None:
        comparison = compare(grid.average(ours, metric, is_signed), grid.average(theirs, metric, is_signed), wanted)
        if comparison is not None:
            found.append(Effect(grid.under, name, metric, order, comparison))

    turns = [(factor, level) for factor, levels in grid.dims.items() for level in levels[1:]]
    for factor, level in turns:
        add(f"{factor} = {level}", [{factor: level}], [{factor: grid.dims[factor][0]}], 1)
    for (first, a), (second, b) in itertools.combinations(turns, 2):
        if first != second:
            base_a, base_b = grid.dims[first][0], grid.dims[second][0]
            add(
                f"{first} = {a} × {second} = {b}",
                [{first: a, second: b}, {first: base_a, second: base_b}],
                [{first: a, second: base_b}, {first: base_a, second: b}],
                2,
            )
    return found


def _corrected(found: Sequence[Effect]) -> list[Effect]:
    adjusted = iter(holm([e.comparison.p for e in found if e.comparison.p is not None]))
    return [e if e.comparison.p is None else replace(e, p_holm=next(adjusted)) for e in found]


def _grids(plan: Plan, values: Sequence[Value]) -> list[_Grid]:
    """One for each number of steps, in the order of the evaluations, where every combination has been scored."""
    rows = {row.name: row.levels for row in plan.rows if row.kind == "arm" and row.levels.keys() == plan.factors.keys()}
    base = next(row.levels for row in plan.rows if row.name == plan.baseline)
    found: dict[int | None, dict[Point, dict[int, Mapping[str, float]]]] = {}
    levels: dict[int | None, dict[str, dict[str, None]]] = {}
    for value in values:
        entry = value.entry
        if entry.row in rows and entry.seed is not None and value.metrics:
            here = levels.setdefault(entry.num_inference_steps, {})
            point = {**rows[entry.row], **entry.evaluation}
            for factor, level in point.items():
                here.setdefault(factor, dict.fromkeys([base[factor]] if factor in base else [])).setdefault(level)
            by_point = found.setdefault(entry.num_inference_steps, {})
            by_point.setdefault(tuple(point.values()), {})[entry.seed] = value.metrics
    grids = []
    for steps, points in found.items():
        everything = {factor: tuple(known) for factor, known in levels[steps].items()}
        dims = {factor: known for factor, known in everything.items() if len(known) > 1}
        keep = [index for index, factor in enumerate(everything) if factor in dims]
        reduced = {tuple(point[i] for i in keep): by_seed for point, by_seed in points.items()}
        complete = len(reduced) == len(points) and set(reduced) == set(itertools.product(*dims.values()))
        if len(dims) > 1 and complete:
            under = ", ".join(f"{f} = {known[0]}" for f, known in everything.items() if len(known) == 1)
            grids.append(_Grid(under, dims, reduced))
    return grids


def _agrees(point: Mapping[str, str], fixed: Mapping[str, str]) -> bool:
    return all(point[factor] == level for factor, level in fixed.items())
