"""Timesteps of student and teacher. The conformance tests run on every StudentGrid there is."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.diffusion.processes import PROCESSES, concrete_subclasses, sd_process, sd_scheduler
from workbench.diffusion import ExplicitGrid, LogSNRGrid, StudentGrid, TrailingGrid, teacher_timesteps

ANY_NUMBER_OF_STEPS = [TrailingGrid(), LogSNRGrid()]  # a new grid goes here, unless it serves one number only


def test_every_grid_is_tested():
    assert {type(grid) for grid in ANY_NUMBER_OF_STEPS} | {ExplicitGrid} == concrete_subclasses(StudentGrid)


@pytest.mark.parametrize("name", PROCESSES)
@pytest.mark.parametrize("grid", ANY_NUMBER_OF_STEPS, ids=repr)
@given(num_steps=st.integers(1, 1000))
def test_a_grid_starts_at_T_and_falls_to_at_least_one(grid, name, num_steps):
    times = grid.timesteps(PROCESSES[name], num_steps)
    assert len(times) == num_steps
    assert times[0] == 1000 and times[-1] >= 1
    assert all(a > b for a, b in zip(times, times[1:], strict=False))


@pytest.mark.parametrize("grid", [*ANY_NUMBER_OF_STEPS, ExplicitGrid(times=(1000, 1))], ids=repr)
@pytest.mark.parametrize("num_steps", [0, 1001])
def test_a_number_of_steps_that_the_schedule_cannot_give_is_refused(grid, num_steps):
    with pytest.raises(ValueError, match=f"between 1 and 1000.*got {num_steps}"):
        grid.timesteps(sd_process(), num_steps)


def test_three_trailing_steps_are_the_papers_thirds():
    assert TrailingGrid().timesteps(sd_process(), 3) == [1000, 667, 333]


def test_trailing_is_diffusers_trailing_up_to_ties():
    scheduler, process = sd_scheduler(), sd_process()
    for num_steps in range(1, 1001):
        scheduler.set_timesteps(num_steps)
        theirs = (scheduler.timesteps + 1).tolist()
        if len(theirs) > num_steps:  # their float range now and then holds one time too many, the clean one
            assert theirs.pop() == 0
        for i, (a, b) in enumerate(zip(TrailingGrid().timesteps(process, num_steps), theirs, strict=True)):
            exact = Fraction(1000 * (num_steps - i), num_steps)
            # Their float arithmetic sends a tie up or down as its error falls; ours rounds ties to even.
            assert a == b or exact.denominator == 2, (num_steps, i)


def test_log_snr_steps_are_equal_in_log_snr():
    process = sd_process()
    log_snr = process.log_snr(torch.tensor(LogSNRGrid().timesteps(process, 5)))
    ends = process.log_snr(torch.tensor([1000, 1]))
    # rounded to whole times: a time is worth at most .06 in log-SNR in this part of the schedule
    torch.testing.assert_close(log_snr.diff(), ((ends[1] - ends[0]) / 5).expand(4), atol=0.06, rtol=0)


def test_an_explicit_grid_is_taken_as_it_is():
    assert ExplicitGrid(times=(1000, 750, 250)).timesteps(sd_process(), 3) == [1000, 750, 250]
    assert ExplicitGrid(times=[1000, 2]) == ExplicitGrid(times=(1000, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("times", [(), (1000, 1000), (500, 1000), (1000, 0), (1000, -3)])
def test_an_explicit_grid_that_does_not_fall_is_refused(times):
    with pytest.raises(ValueError, match="must fall from the noisiest to at least 1"):
        ExplicitGrid(times=times)


def test_an_explicit_grid_must_begin_at_T_and_serve_its_own_length():
    with pytest.raises(ValueError, match="must begin at the noisiest step, T = 1000, got 900"):
        ExplicitGrid(times=(900, 300)).timesteps(sd_process(), 2)
    with pytest.raises(ValueError, match=r"has 2 steps, but 3 were asked for. Use num_steps: 2"):
        ExplicitGrid(times=(1000, 300)).timesteps(sd_process(), 3)


@given(start=st.integers(1, 1000), steps=st.integers(1, 1200))
def test_teacher_times_start_at_t_fall_and_never_reach_zero(start, steps):
    times = teacher_timesteps(sd_process(), start, steps)
    assert times[0] == start and times[-1] >= 1
    assert all(a > b for a, b in zip(times, times[1:], strict=False))
    assert len(times) <= steps
    if steps <= start:  # every interval is at least one time wide, so only a time that rounds to 0 can be lost
        assert len(times) >= steps - 1


@given(start=st.integers(1, 1000), steps=st.integers(1, 50))
def test_teacher_times_are_equal_intervals_rounded(start, steps):
    exact = [start * j / steps for j in range(steps, 0, -1)]
    times = teacher_timesteps(sd_process(), start, steps)
    assert all(min(abs(t - e) for e in exact) <= 0.5 for t in times)
    assert all(min(abs(t - e) for t in [*times, 0]) <= 0.5 for e in exact)


def test_teacher_times_by_hand():
    process = sd_process()
    assert teacher_timesteps(process, 1000, 5) == [1000, 800, 600, 400, 200]
    assert teacher_timesteps(process, 700, 1) == [700]
    assert teacher_timesteps(process, 3, 10) == [3, 2, 1]  # duplicates and zeros are dropped


@pytest.mark.parametrize(
    ("start", "steps", "message"), [(0, 4, "1..1000, got t = 0"), (1001, 4, "1001"), (5, 0, "1 step")]
)
def test_teacher_times_outside_the_schedule_are_refused(start, steps, message):
    with pytest.raises(ValueError, match=message):
        teacher_timesteps(sd_process(), start, steps)
