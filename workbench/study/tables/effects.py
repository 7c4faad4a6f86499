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
    """One for each number of steps, in the order of the evaluations, where every combination has been scored.

    What the plan asks for decides which levels there are, not what has been scored so far. An arm that is written out
    beside the design stands at one of its combinations and is none of them.
    """
    base = next(row.levels for row in plan.rows if row.name == plan.baseline)
    rows: dict[Point, str] = {}  # the design's come before those that are written out
    for row in plan.rows:
        if row.kind == "arm" and row.levels.keys() == plan.factors.keys():
            rows.setdefault(tuple(row.levels[factor] for factor in plan.factors), row.name)
    of_rows = {name: dict(zip(plan.factors, point, strict=True)) for point, name in rows.items()}
    asked: dict[int | None, dict[tuple[tuple[str, str], ...], None]] = {}  # steps -> combinations, each once
    for entry in plan.entries:
        if entry.row in of_rows:
            point = {**of_rows[entry.row], **entry.evaluation}
            asked.setdefault(entry.num_inference_steps, {})[tuple(point.items())] = None
    scored: dict[tuple[tuple[str, str], ...], dict[int, Mapping[str, float]]] = {}
    for value in values:
        if value.entry.row in of_rows and value.entry.seed is not None and value.metrics:
            point = {**of_rows[value.entry.row], **value.entry.evaluation}
            scored.setdefault(tuple(point.items()), {})[value.entry.seed] = value.metrics
    grids = []
    for steps, combinations in asked.items():
        points = [dict(items) for items in combinations]
        names = list(points[0])
        if any(list(point) != names for point in points) or not all(items in scored for items in combinations):
            continue  # a factor that exists in some of them alone, or a combination that nothing is known of
        levels = {name: dict.fromkeys(point[name] for point in points) for name in names}
        # The baseline's level first; of an evaluation factor, the first that the file names.
        known = {name: tuple(dict.fromkeys([*([base[name]] if base.get(name) in levels[name] else []), *levels[name]]))
                 for name in names}  # fmt: skip
        dims = {name: found for name, found in known.items() if len(found) > 1}
        reduced = {tuple(point[name] for name in dims): scored[tuple(point.items())] for point in points}
        if len(dims) > 1 and len(reduced) == len(points) and set(reduced) == set(itertools.product(*dims.values())):
            constant = [f"{name} = {found[0]}" for name, found in known.items() if name not in dims]
            under = ", ".join(constant) or (f"{steps} steps" if len(asked) > 1 else "")
            grids.append(_Grid(under, dims, reduced))
    return grids


def _agrees(point: Mapping[str, str], fixed: Mapping[str, str]) -> bool:
    return all(point[factor] == level for factor, level in fixed.items())
