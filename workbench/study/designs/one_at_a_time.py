"""The baseline, and every arm that differs from it in one factor."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.study.designs.base import Design, completed, distinct
from workbench.study.sweep_file import Factor, Levels


class OneAtATime(Design):
    """One level changed an arm. Where the change brings conditional factors into being, these are varied one at a time
    too, around their first levels: `shift = scale` with `strength` under it gives one arm a strength."""

    name = "one_at_a_time"

    def combinations(self, factors: Sequence[Factor], baseline: Levels) -> list[Levels]:
        """See Design."""
        result: list[Levels] = [completed(factors, baseline)]
        for factor in factors:
            if factor.name not in baseline:
                continue
            for level in factor.levels:
                changed = completed(factors, {**baseline, factor.name: level})
                result.append(changed)
                result.extend(_children(factors, baseline, changed))
        return distinct(result)


def _children(factors: Sequence[Factor], baseline: Levels, changed: Levels) -> list[Levels]:
    """The arms around `changed` in the factors that exist there and not in the baseline, and in their own children."""
    result: list[Levels] = []
    for factor in factors:
        if factor.name in baseline or factor.name not in changed:
            continue
        for level in factor.levels:
            if level != changed[factor.name]:
                child = completed(factors, {**changed, factor.name: level})
                result.append(child)
                result.extend(_children(factors, {**baseline, **changed}, child))
    return result
