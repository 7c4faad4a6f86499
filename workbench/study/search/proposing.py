"""The next point of the space: a pure function of the trials so far, the file, and the trial's own number."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.study.search.optunas import Named, make_sampler
from workbench.study.search.parameters import Value
from workbench.study.search.space import Space

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial, Trial

SAMPLED, RANDOM = 3, 100  # attempts to find a point that is new, first with the sampler, then at random


@dataclass(frozen=True)
class Proposal:
    """A point. system: what the sampler wants to find again in the record of the trial."""

    values: Mapping[str, Value]
    system: Mapping[str, Any] = field(default_factory=dict)


def propose(
    space: Space,
    sampler: Named,
    directions: Sequence[str],
    seed: int,
    trial: int,
    history: Sequence[FrozenTrial],
    taken: Iterable[Mapping[str, Value]],
    start: Sequence[Mapping[str, Value]] = (),
) -> Proposal | None:
    """The point of a trial, None where every point is taken. The first trials take the points of `start`.

    Optuna's samplers keep their random state in a process: two workers of one seed would draw the same start, and a
    worker that is started again would repeat it. Here every proposal has a sampler of its own, seeded by (seed, trial,
    attempt), over a copy of the record in memory: one worker gives the same search again, killed or not.
    """
    gone = [dict(values) for values in taken]
    if trial < len(start) and dict(start[trial]) not in gone:
        return Proposal(start[trial])
    for attempt in range(SAMPLED + RANDOM):
        named = sampler if attempt < SAMPLED else Named("RandomSampler")
        found = _draw(space, named, directions, _seed(seed, trial, attempt), history)
        if found.values not in gone:
            return found
    for values in space.points() or ():
        if values not in gone:
            return Proposal(values)
    return None


def _draw(
    space: Space, sampler: Named, directions: Sequence[str], seed: int, history: Sequence[FrozenTrial]
) -> Proposal:
    import optuna

    study = optuna.create_study(
        sampler=make_sampler(sampler, seed), directions=["minimize" if d == "min" else "maximize" for d in directions]
    )
    study.add_trials(history)
    trial = study.ask()
    values = suggest(space, trial)
    return Proposal(values, dict(study.get_trials(deepcopy=False)[trial.number].system_attrs))


def suggest(space: Space, trial: Trial) -> dict[str, Value]:
    """Values of the parameters that exist, in order: what a parameter is under is drawn before it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    values: dict[str, Value] = {}
    for parameter in space.parameters:
        if not parameter.exists(values):
            continue
        one = parameter.distribution()
        drawn: Any
        if isinstance(one, CategoricalDistribution):
            drawn = trial.suggest_categorical(parameter.name, one.choices)
        elif isinstance(one, FloatDistribution):
            drawn = trial.suggest_float(parameter.name, one.low, one.high, step=one.step, log=one.log)
        else:
            drawn = trial.suggest_int(parameter.name, one.low, one.high, step=one.step, log=one.log)  # type: ignore[attr-defined]
        values[parameter.name] = parameter.rounded(drawn)
    return values


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big")
