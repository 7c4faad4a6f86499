"""Every combination of levels."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.study.designs.base import Design, completed, distinct
from workbench.study.errors import SweepError
from workbench.study.sweep_file import Factor, Levels

MAX_ARMS = 1_000


class Factorial(Design):
    """The full product; a conditional factor multiplies only the combinations that it exists in."""

    name = "factorial"

    def combinations(self, factors: Sequence[Factor], baseline: Levels) -> list[Levels]:
        """See Design. SweepError above 1,000 arms."""
        result: list[dict[str, str]] = [{}]
        for factor in factors:
            result = [
                {**levels, factor.name: level} if factor.exists(levels) else levels
                for levels in result
                for level in (factor.levels if factor.exists(levels) else [""])
            ]
            if len(result) > MAX_ARMS:
                raise SweepError(
                    f"design: factorial gives more than {MAX_ARMS:,} arms. Use one_at_a_time, or fewer levels."
                )
        return distinct([completed(factors, baseline), *result])
