"""No design: the arms that the file writes out."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.study.designs.base import Design, completed
from workbench.study.sweep_file import Factor, Levels


class NoDesign(Design):
    """The baseline, where factors are given; every other row stands under `arms`."""

    name = "none"

    def combinations(self, factors: Sequence[Factor], baseline: Levels) -> list[Levels]:
        """See Design."""
        return [completed(factors, baseline)] if factors else []
