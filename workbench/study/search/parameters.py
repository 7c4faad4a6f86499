"""The parameters of a search: numbers and choices, some of which exist only under a choice of another one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.study.sweep_file import Factor, Levels, Overrides

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4  # of a number that is drawn: what a person would type, and what the table shows
Value = str | int | float


@dataclass(frozen=True)
class Parameter(ABC):
    """One dimension of the space. `under`: the choices of earlier parameters without which it does not exist."""

    name: str
    under: Levels = field(default_factory=dict, kw_only=True)

    def exists(self, values: Mapping[str, Any]) -> bool:
        """Whether these values hold what the parameter needs."""
        return all(values.get(parent) == level for parent, level in self.under.items())

    @abstractmethod
    def overrides(self, value: Value) -> Overrides:
        """What the value writes into the configuration."""

    @abstractmethod
    def extremes(self) -> tuple[Value, ...]:
        """The values that are tried with the configuration's parser before anything starts."""

    @abstractmethod
    def all_values(self) -> list[Value] | None:
        """Every value, None where there are infinitely many."""

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """What Optuna draws from."""

    @abstractmethod
    def rounded(self, value: Any) -> Value:
        """The value as it is used and recorded."""

    @abstractmethod
    def words(self) -> str:
        """The range, for people."""

    def factor(self) -> Factor:
        """The extremes as levels: what writes which key is checked as for the factors of an ablation."""
        levels = {self.label(value): self.overrides(value) for value in self.extremes()}
        return Factor(self.name, levels, self.under)

    def label(self, value: Value) -> str:
        """A value as a level's name."""
        return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Number(Parameter):
    """A number between two bounds, both included. Whole where both bounds are written without a point."""

    key: str  # of the configuration
    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether it is an integer."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def overrides(self, value: Value) -> Overrides:
        return {self.key: value}

    def extremes(self) -> tuple[Value, ...]:
        return (self.low, self.high)

    def all_values(self) -> list[Value] | None:
        if not self.whole:
            return None
        step = 1 if self.step is None else int(self.step)
        return list(range(int(self.low), int(self.high) + 1, step))

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            step = 1 if self.step is None else int(self.step)
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=step)
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def rounded(self, value: Any) -> Value:
        if self.whole:
            return int(value)
        short = float(f"{float(value):.{DIGITS if self.step is None else 10}g}")
        return min(max(short, float(self.low)), float(self.high))

    def words(self) -> str:
        marks = [f"step {self.step:g}"] if self.step is not None else []
        marks += ["log"] if self.log else []
        return f"{self.low:g} to {self.high:g}" + (f" ({', '.join(marks)})" if marks else "")


@dataclass(frozen=True)
class Choice(Parameter):
    """One of several levels, each with its overrides."""

    levels: Mapping[str, Overrides]

    def overrides(self, value: Value) -> Overrides:
        return self.levels[str(value)]

    def extremes(self) -> tuple[Value, ...]:
        return tuple(self.levels)

    def all_values(self) -> list[Value] | None:
        return list(self.levels)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(tuple(self.levels))

    def rounded(self, value: Any) -> Value:
        return str(value)

    def words(self) -> str:
        return ", ".join(self.levels)
