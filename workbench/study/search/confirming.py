"""Which trials are trained again, and the study that does it: an ordinary one, on other seeds and the report half."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from workbench.study.plan import Plan
from workbench.study.planning import Resolve, make_plan
from workbench.study.search.planning import REPORT, TrialPlanner
from workbench.study.search.spec import Search
from workbench.study.search.trials import Standing, best


def dominates(a: Sequence[float], b: Sequence[float], directions: Sequence[str]) -> bool:
    """Whether a is at least as good in everything and better in something."""
    signed = [(x, y) if way == "min" else (-x, -y) for x, y, way in zip(a, b, directions, strict=True)]
    return all(x <= y for x, y in signed) and any(x < y for x, y in signed)


def pareto(standings: Sequence[Standing], objectives: Mapping[str, str]) -> list[Standing]:
    """Complete trials that no other one dominates, by their first objective."""
    ways = list(objectives.values())
    known = [(s, values) for s in standings if (values := s.values_of(objectives)) is not None]
    front = [(s, v) for s, v in known if not any(dominates(other, v, ways) for _, other in known)]
    sign = 1.0 if ways[0] == "min" else -1.0
    return [s for s, _ in sorted(front, key=lambda pair: (sign * pair[1][0], pair[0].trial.number))]


def choose(search: Search, standings: Sequence[Standing]) -> list[Standing]:
    """The trials to confirm, best first: the best, or members of the Pareto front, at most `confirm.most`.

    A front with more members is thinned by crowding distance (Deb et al. 2002, section III B): the ends of every
    objective stay, and of the others those whose neighbours are farthest.
    """
    most = search.confirm.most if search.confirm else 1
    if len(search.objectives) == 1:
        return best(standings, search.objectives)[:most]
    front = pareto(standings, search.objectives)
    crowding = _crowding([v for s in front if (v := s.values_of(search.objectives)) is not None])
    kept = sorted(range(len(front)), key=lambda i: (-crowding[i], front[i].trial.number))[:most]
    return [front[i] for i in sorted(kept)]


def _crowding(points: Sequence[Sequence[float]]) -> list[float]:
    distances = [0.0] * len(points)
    for axis in range(len(points[0]) if points else 0):
        order = sorted(range(len(points)), key=lambda i: points[i][axis])
        spread = points[order[-1]][axis] - points[order[0]][axis]
        distances[order[0]] = distances[order[-1]] = math.inf
        for before, middle, after in zip(order, order[1:], order[2:], strict=False):
            if spread:
                distances[middle] += (points[after][axis] - points[before][axis]) / spread
    return distances


def confirmation(planner: TrialPlanner, chosen: Sequence[Standing], resolve: Resolve) -> Plan | None:
    """The study of the chosen trials beside the base configuration. None where there is nothing to tell apart."""
    search = planner.search
    assert search.confirm is not None
    base = planner.base().cells[0].key
    arms = {s.trial.name: search.space.overrides(s.trial.values) for s in chosen if s.trial.cell.key != base}
    if not arms:
        return None
    sweep = search.sweep
    return make_plan(
        replace(
            sweep,
            name=search.confirmation,
            question="Is what the search found better than its base, on other seeds and other prompts?",
            set={**sweep.set, **REPORT},
            arms={"baseline": {}, **arms},
            baseline_arm="baseline",
            seeds=search.confirm.seeds,
        ),
        resolve,
    )
