"""The contract of a design, and what designs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from workbench.study.errors import SweepError
from workbench.study.sweep_file import Factor, Levels


class Design(ABC):
    """Maps factors and a baseline to the combinations of levels to run."""

    name: ClassVar[str]

    @abstractmethod
    def combinations(self, factors: Sequence[Factor], baseline: Levels) -> list[Levels]:
        """The combinations in the order of the table, without duplicates. A combination names a level of exactly the
        factors that exist in it. SweepError for factors that the design cannot cover."""

    def compare_with(self, combinations: Sequence[Levels], baseline: Levels) -> Levels:
        """The combination that differences are taken to: the baseline, unless a design says otherwise."""
        return baseline


def completed(factors: Sequence[Factor], levels: Levels) -> dict[str, str]:
    """`levels` without the factors that do not exist under it, and with the first level of those that came to exist."""
    result: dict[str, str] = {}
    for factor in factors:  # a parent stands before its children
        if factor.exists(result):
            result[factor.name] = levels.get(factor.name, next(iter(factor.levels)))
    return result


def other_level(factor: Factor, baseline: Levels, design: str) -> str:
    """The one level of a two-level factor that is not the baseline's. A conditional factor that the baseline does not
    have keeps its first level."""
    if factor.name not in baseline:
        return next(iter(factor.levels))
    others = [level for level in factor.levels if level != baseline[factor.name]]
    if len(others) != 1:
        raise SweepError(
            f"design: {design} switches each factor once, but {factor.name} has the levels {', '.join(factor.levels)}. "
            "Keep two of them, or use one_at_a_time."
        )
    return others[0]


def distinct(combinations: Sequence[Levels]) -> list[Levels]:
    """Without duplicates, in order."""
    unique: dict[tuple, Levels] = {}
    for levels in combinations:
        unique.setdefault(tuple(levels.items()), levels)
    return list(unique.values())
