"""The baseline, then one switch after the other, each kept."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.study.designs.base import Design, completed, distinct, other_level
from workbench.study.sweep_file import Factor, Levels


class Cumulative(Design):
    """Arm k has the first k factors at their other level. Factors have two levels; the order is that of the file."""

    name = "cumulative"

    def combinations(self, factors: Sequence[Factor], baseline: Levels) -> list[Levels]:
        """See Design."""
        result: list[Levels] = [completed(factors, baseline)]
        levels = dict(baseline)
        for factor in factors:
            levels[factor.name] = other_level(factor, baseline, self.name)
            result.append(completed(factors, levels))
        return distinct(result)
