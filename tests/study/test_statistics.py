from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from workbench.study.statistics import compare, gap_closed, holm, mean, percent_of, standard_deviation

values = st.lists(st.integers(-(10**6), 10**6).map(lambda n: n / 1000), min_size=3, max_size=12)


def by_seed(numbers: list[float]) -> dict[int, float]:
    return dict(enumerate(numbers))


@given(values, st.integers(0, 1000))
def test_the_interval_is_the_paired_t_interval_of_scipy(ours: list[float], seed: int) -> None:
    generator = random.Random(seed)
    theirs = [value + generator.gauss(0.5, 1) for value in ours]
    found = compare(by_seed(ours), by_seed(theirs), "min")
    reference = stats.ttest_rel(ours, theirs)
    interval = reference.confidence_interval(0.95)
    assert found is not None and found.low is not None and found.high is not None and found.p is not None
    scale = max(1.0, abs(found.high - found.low))
    assert math.isclose(found.low, interval.low, abs_tol=1e-9 * scale)
    assert math.isclose(found.high, interval.high, abs_tol=1e-9 * scale)
    assert math.isclose(found.p, reference.pvalue, rel_tol=1e-6, abs_tol=1e-12)


def test_the_interval_covers_the_truth_95_times_in_100_with_three_seeds() -> None:
    generator = random.Random(0)
    hits = 0
    for _ in range(2000):
        differences = [generator.gauss(1.0, 2.0) for _ in range(3)]
        found = compare(by_seed(differences), by_seed([0.0] * 3), "min")
        assert found is not None and found.low is not None and found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.935 < hits / 2000 < 0.965  # three standard errors of a share of .95


def test_few_seeds_claim_nothing() -> None:
    one, two = compare({0: 1.0}, {0: 2.0}, "min"), compare({0: 1.0, 1: 4.0}, {0: 2.0, 1: 3.0}, "min")
    assert one is not None and (one.difference, one.low, one.p, one.excludes_zero, one.better) == (
        -1,
        None,
        None,
        False,
        1,
    )
    assert two is not None and (two.low, two.high, two.p, two.is_interval, two.excludes_zero) == (
        -1,
        1,
        None,
        False,
        False,
    )
    certain = compare({0: 1.0, 1: 1.0}, {0: 2.0, 1: 2.0}, "min")
    assert certain is not None and not certain.excludes_zero, "a range is no interval, however clear"
    assert compare({0: 1.0}, {1: 1.0}, "min") is None


def test_only_seeds_of_both_are_paired_and_better_follows_the_direction() -> None:
    found = compare({0: 1.0, 1: 2.0, 2: 9.0, 7: 0.0}, {0: 2.0, 1: 3.0, 2: 8.0, 5: 0.0}, "min")
    assert found is not None and (found.n, found.better) == (3, 2)
    assert (highest := compare({0: 1.0, 1: 2.0, 2: 9.0}, {0: 2.0, 1: 3.0, 2: 8.0}, "max")) and highest.better == 1


def test_bit_equal_rows_are_inert_and_equivalent() -> None:
    found = compare(by_seed([1.0, 2.0, 3.0]), by_seed([1.0, 2.0, 3.0]), "min")
    assert found is not None and found.inert and not found.excludes_zero
    assert found.p == 1.0 and found.p_equivalent == 0.0
    moved = compare(by_seed([1.0, 2.0, math.nextafter(3.0, 4)]), by_seed([1.0, 2.0, 3.0]), "min")
    assert moved is not None and not moved.inert


@given(values, st.integers(0, 1000))
def test_a_signed_metric_is_compared_by_its_magnitude(ours: list[float], seed: int) -> None:
    generator = random.Random(seed)
    theirs = [generator.gauss(0, 1) for _ in ours]
    found = compare(by_seed(ours), by_seed(theirs), "zero")
    magnitudes = compare(by_seed([abs(v) for v in ours]), by_seed([abs(v) for v in theirs]), "min")
    assert found is not None and found == magnitudes
    flipped = compare(by_seed([-v for v in ours]), by_seed(theirs), "zero")
    assert flipped is not None and flipped.difference == found.difference, "which side of zero does not matter"
    mirrored = compare(by_seed([-v for v in theirs]), by_seed(theirs), "zero")
    assert mirrored is not None and mirrored.difference == 0 and not mirrored.inert, "as far from zero, but not equal"


@pytest.mark.parametrize(
    ("shift", "equivalent"), [(0.0, True), (0.01, True), (0.019, False), (0.03, False), (-0.03, False)]
)
def test_equivalence_needs_the_whole_interval_inside_two_percent(shift: float, equivalent: bool) -> None:
    base = [10.0, 11.0, 9.0, 10.5, 9.5]
    noise = [0.02, -0.02, 0.01, -0.01, 0.0]
    found = compare(by_seed([b + 10 * shift + n for b, n in zip(base, noise, strict=True)]), by_seed(base), "min")
    assert found is not None and found.p_equivalent is not None
    assert (found.p_equivalent < 0.05) == equivalent
    # TOST at 5 % is the 90 % interval inside the bounds.
    d = [10 * shift + n for n in noise]
    half = stats.t.ppf(0.95, 4) * standard_deviation(d) / math.sqrt(5)
    assert equivalent == (mean(d) - half > -0.2 and mean(d) + half < 0.2)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(raw <= a <= min(1.0, len(p) * raw) for raw, a in zip(p, adjusted, strict=True))
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in zip(order, order[1:], strict=False))


def test_shares_of_the_teacher() -> None:
    # The paper's own numbers: teacher 66.5 at 3 steps and 35.7 at 25, Imagine Flash 35.5: 101 % of the gap, 99.4 %.
    assert round(gap_closed(35.5, 66.5, 35.7) or 0) == 101
    assert round(percent_of(35.5, 35.7) or 0, 1) == 99.4
    assert gap_closed(1.0, 2.0, 2.0) is None and percent_of(1.0, 0.0) is None


@pytest.mark.parametrize("n", [3, 5])
def test_equal_differences_in_every_seed_have_no_test(n: int) -> None:
    """A t test takes its scale from the spread between the seeds: without one there is no p, and nothing is certain."""
    baseline = {seed: 10.0 + 0.1 * seed for seed in range(n)}
    found = compare({seed: value - 0.3 for seed, value in baseline.items()}, baseline, "min")
    assert found is not None and found.difference == pytest.approx(-0.3) and found.better == n
    assert (found.low, found.high, found.p, found.p_equivalent) == (None, None, None, None)
    assert not found.excludes_zero and not found.is_interval and not found.inert
    spread = compare({seed: v - 0.3 - 1e-6 * seed for seed, v in baseline.items()}, baseline, "min")
    assert spread is not None and spread.p is not None and spread.excludes_zero
