"""Paired comparisons over training seeds: Student's t, Holm's correction, equivalence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
SPREADLESS = 1e-12  # of the values: what rounding leaves of equal differences
MARGIN = 0.02  # of the baseline's mean: what "leaves it alone" allows


@dataclass(frozen=True)
class Comparison:
    """The paired difference arm - baseline over the seeds that both have.

    low, high: the 95 % Student-t interval of the mean difference for n >= 3, the smallest and the largest difference
    for n = 2, None for n = 1. p: two-sided, None below n = 3. p_equivalent: of the test that the difference lies within
    +-2 % of the baseline's mean (TOST), None below n = 3. All are None where the difference is the same in every seed
    and not zero: a t test takes its scale from the spread, and there is none.
    """

    n: int
    difference: float
    low: float | None
    high: float | None
    better: int  # seeds in which the arm is strictly better
    p: float | None
    p_equivalent: float | None
    inert: bool  # bit-equal in every seed

    @property
    def is_interval(self) -> bool:
        """Whether low and high are a confidence interval and no mere range."""
        return self.n >= 3 and self.low is not None

    @property
    def excludes_zero(self) -> bool:
        """Whether there is an interval and zero lies outside it."""
        return self.is_interval and self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def mean(values: Sequence[float]) -> float:
    """The arithmetic mean, exactly rounded, so that no order of the seeds changes a digit."""
    return math.fsum(values) / len(values)


def standard_deviation(values: Sequence[float]) -> float:
    """The sample standard deviation, n - 1 in the denominator. ValueError below two values."""
    if len(values) < 2:
        raise ValueError(f"A standard deviation needs two values, but got {len(values)}.")
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def interval_of_mean(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95 % Student-t interval of the mean; None below three values, as in Comparison."""
    if len(values) < 3:
        return None
    half = _quantile(0.5 + CONFIDENCE / 2, len(values) - 1) * standard_deviation(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def compare(
    arm: Mapping[int, float], baseline: Mapping[int, float], direction: str, margin: float = MARGIN
) -> Comparison | None:
    """Compare by seed. direction: "min" or "max", whichever is better, or "zero": magnitudes are compared, and the
    smaller one is better. None where no seed has both values."""
    seeds = sorted(arm.keys() & baseline.keys())
    if not seeds:
        return None
    is_inert = all(arm[seed] == baseline[seed] for seed in seeds)
    if direction == "zero":
        arm, baseline = ({seed: abs(values[seed]) for seed in seeds} for values in (arm, baseline))
    differences = [arm[seed] - baseline[seed] for seed in seeds]
    centre, n = mean(differences), len(differences)
    better = sum(improves(difference, direction) for difference in differences)
    if n == 1:
        return Comparison(n, centre, None, None, better, None, None, is_inert)
    if n == 2:
        return Comparison(n, centre, min(differences), max(differences), better, None, None, is_inert)
    error = standard_deviation(differences) / math.sqrt(n)
    if centre and error <= SPREADLESS * max(abs(value) for seed in seeds for value in (arm[seed], baseline[seed])):
        return Comparison(n, centre, None, None, better, None, None, is_inert)
    half = _quantile(0.5 + CONFIDENCE / 2, n - 1) * error
    bound = margin * abs(mean([baseline[seed] for seed in seeds]))
    return Comparison(
        n=n,
        difference=centre,
        low=centre - half,
        high=centre + half,
        better=better,
        p=2 * _upper_tail(abs(centre), error, n - 1),
        p_equivalent=max(_upper_tail(bound - centre, error, n - 1), _upper_tail(bound + centre, error, n - 1)),
        inert=is_inert,
    )


def improves(difference: float, direction: str) -> bool:
    """Whether a difference arm - baseline (of magnitudes, for "zero") is to the better."""
    return difference > 0 if direction == "max" else difference < 0


def _quantile(probability: float, degrees: int) -> float:
    from scipy.special import stdtrit  # scipy.stats alone costs 70 bare interpreters; this is its ppf

    return float(stdtrit(degrees, probability))


def _upper_tail(value: float, error: float, degrees: int) -> float:
    """P(t > value / error) of Student's t; a difference without any spread is certain one way or the other."""
    from scipy.special import stdtr

    if error == 0:
        return 0.0 if value > 0 else 1.0 if value < 0 else 0.5
    return float(stdtr(degrees, -value / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: adjusted p values in the given order, for a family of that size.

    Reference: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def gap_closed(student: float, teacher_few: float, teacher_many: float) -> float | None:
    """Percent of the way from the few-step teacher to the many-step teacher; None where the two are the same."""
    gap = teacher_few - teacher_many
    return None if gap == 0 else 100 * (teacher_few - student) / gap


def percent_of(value: float, teacher: float) -> float | None:
    """The value in percent of the teacher's; None for a teacher at or below zero, where a ratio says nothing."""
    return None if teacher <= 0 else 100 * value / teacher
