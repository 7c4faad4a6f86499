"""Everything on, then everything but one."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.study.designs.base import Design, completed, distinct, other_level
from workbench.study.sweep_file import Factor, Levels


class LeaveOneOut(Design):
    """The first arm has every factor at its other level and is what the rest is compared with; each further arm puts
    one factor back to the baseline's level; the baseline itself, with everything off, is the last row."""

    name = "leave_one_out"

    def combinations(self, factors: Sequence[Factor], baseline: Levels) -> list[Levels]:
        """See Design."""
        full = {factor.name: other_level(factor, baseline, self.name) for factor in factors}
        without = [
            completed(factors, {**full, factor.name: baseline[factor.name]})
            for factor in factors
            if factor.name in baseline
        ]
        return distinct([completed(factors, full), *without, completed(factors, baseline)])

    def compare_with(self, combinations: Sequence[Levels], baseline: Levels) -> Levels:
        """The arm with everything on."""
        return combinations[0]
