"""What a table holds, before anybody decides how it looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from workbench.study.plan import Row
from workbench.study.statistics import Comparison
from workbench.study.sweep_file import Levels


@dataclass(frozen=True)
class Figure:
    """One metric of one line. values: by seed (None for a reference); mean: None where a seed diverged."""

    values: Mapping[int | None, float]
    mean: float | None
    comparison: Comparison | None = None
    p_holm: float | None = None
    percent_of_teacher: float | None = None
    gap_closed: float | None = None
    bold: bool = False  # better than the baseline, and the interval does not hold zero


@dataclass(frozen=True)
class Line:
    """One row of the table under one evaluation."""

    row: Row
    figures: Mapping[str, Figure]  # by metric
    seeds: int  # planned; 0 for a reference
    complete: int
    diverged: tuple[str, ...]  # "diverged @12", one a seed
    failed: tuple[str, ...]
    inert: bool  # every metric bit-equal to the baseline's in every seed
    facts: Mapping[str, str] = field(default_factory=dict)  # by name, as they are shown
    pruned: tuple[str, ...] = ()  # "pruned @50": trials of a search


@dataclass(frozen=True)
class Block:
    """All lines under one evaluation."""

    evaluation: Levels
    lines: tuple[Line, ...]
    family: int  # comparisons that Holm's correction covers, for each metric

    @property
    def title(self) -> str:
        """'steps = 3, noise_correction = on', or '' where there is one evaluation without a name."""
        return ", ".join(f"{factor} = {level}" for factor, level in self.evaluation.items())


@dataclass(frozen=True)
class Column:
    """A metric with what its numbers depend on."""

    metric: str
    direction: str  # "min", "max" or "zero"
    num_images: tuple[int, ...]
    extractor: str  # the first 8 digits of its hash, "" where the metric has none
    decimals: int

    @property
    def arrow(self) -> str:
        """Which way is better."""
        return {"min": "↓", "max": "↑"}.get(self.direction, "→0")

    @property
    def detail(self) -> str:
        """'N = 512, 1a2b3c4d'."""
        counts = " or ".join(f"{count:,}" for count in self.num_images)
        return ", ".join(part for part in (f"N = {counts}" if counts else "", self.extractor) if part)


@dataclass(frozen=True)
class Effect:
    """What a factor, or two together, do on average over the combinations of the others: see effects.py."""

    under: str  # 'steps = 3', or ''
    name: str  # 'shift = scale', 'shift = scale × trajectory = forward'
    metric: str
    order: int  # 1: a main effect; 2: an interaction
    comparison: Comparison
    p_holm: float | None = None


@dataclass(frozen=True)
class Table:
    """A whole table."""

    study: str
    question: str
    baseline: str
    columns: tuple[Column, ...]
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]
    primary: Mapping[str, str] = field(default_factory=dict)  # row -> its primary metric
    facts: tuple[str, ...] = ()  # names of the columns behind the metrics, see study/facts.py
    effects: tuple[Effect, ...] = ()  # of a factorial, for every metric
