"""What every shift promises, and what only some of them do."""

from __future__ import annotations

import dataclasses
import warnings

import pytest
import torch

from tests.distill.analytic import PROCESSES, AnalyticTeacher, gaussian, keyed, sd_process
from tests.distill.every import every
from workbench.diffusion import DDIM, TrailingGrid
from workbench.distill import (
    CalibratedShift,
    ConstantShift,
    IdentityShift,
    LogSNRShift,
    NextStepShift,
    OffsetShift,
    PowerShift,
    ScaleShift,
    ShiftSchedule,
    StudentNoise,
    TableShift,
    TeacherTarget,
)
from workbench.distill.diagnostics import Diagnostics

READY = [cls for cls in every(ShiftSchedule) if not cls().needs_calibration]
VARIANTS = [cls() for cls in READY] + [
    ConstantShift(fraction=1.0),
    OffsetShift(offset=0.3),
    PowerShift(exponent=0.5),
    LogSNRShift(delta=-1.0),
    TableShift(times=(200, 600, 1000), levels=(100, 500, 500)),
]


def test_the_conformance_tests_see_all_shifts() -> None:
    assert {cls.__name__ for cls in every(ShiftSchedule)} >= {
        "CalibratedShift", "ConstantShift", "IdentityShift", "LogSNRShift", "NextStepShift", "OffsetShift",
        "PowerShift", "ScaleShift", "TableShift",
    }  # fmt: skip


@pytest.mark.parametrize("make", PROCESSES.values(), ids=PROCESSES)
@pytest.mark.parametrize("shift", VARIANTS, ids=repr)
@pytest.mark.parametrize("num_steps", [1, 2, 3, 5])
def test_every_shift_gives_times_of_the_schedule_and_never_falls(
    shift: ShiftSchedule, make: type, num_steps: int
) -> None:
    process = make()
    grid = TrailingGrid().timesteps(process, num_steps)
    levels = [shift(t, process, grid) for t in reversed(grid)]
    assert all(isinstance(g, int) and 1 <= g <= process.num_train_timesteps for g in levels)
    assert levels == sorted(levels)


@pytest.mark.parametrize("cls", every(ShiftSchedule), ids=lambda c: c.__name__)
def test_every_shift_is_frozen_hashable_data_with_defaults(cls: type[ShiftSchedule]) -> None:
    shift = cls()
    assert shift == cls() and hash(shift) == hash(cls())
    assert cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert cls.__doc__ and not cls.__doc__.startswith(cls.__name__ + "(")  # dataclass' own text explains nothing


def test_formulas() -> None:
    process, grid = sd_process(), [1000, 667, 333]
    assert [IdentityShift()(t, process, grid) for t in grid] == grid
    assert [ScaleShift(factor=0.7)(t, process, grid) for t in grid] == [700, 467, 233]
    assert [ConstantShift(fraction=0.25)(t, process, grid) for t in grid] == [250] * 3
    assert [OffsetShift(offset=-0.1)(t, process, grid) for t in grid] == [900, 567, 233]
    assert [OffsetShift(offset=0.2)(t, process, grid) for t in grid] == [1000, 867, 533]  # cut at T
    assert [PowerShift(exponent=2.0)(t, process, grid) for t in grid] == [1000, 445, 111]
    assert [NextStepShift(last=0.5)(t, process, grid) for t in grid] == [667, 333, 166]  # 166.5 rounds to even
    table = TableShift(times=(500, 1000), levels=(300, 700))
    assert [table(t, process, grid) for t in (1000, 750, 500, 250)] == [700, 500, 300, 150]


def test_log_snr_shift_moves_the_log_snr_by_delta() -> None:
    process = sd_process()
    for t in (333, 667, 1000):
        gamma = LogSNRShift(delta=1.5)(t, process, [t])
        step = float(process.log_snr(gamma - 1) - process.log_snr(gamma + 1))  # two grid cells
        assert abs(float(process.log_snr(gamma) - process.log_snr(t)) - 1.5) < step


@pytest.mark.parametrize(
    "shift", [OffsetShift(offset=-0.4), ScaleShift(factor=0.001), TableShift(times=(1000,), levels=(1,))], ids=repr
)
def test_a_shift_that_reaches_zero_is_refused_with_the_reason(shift: ShiftSchedule) -> None:
    with pytest.raises(ValueError, match=r"gamma\(333\).*the loss is zero"):
        shift(333, sd_process(), [1000, 667, 333])


@pytest.mark.parametrize(
    ("cls", "bad"),
    [
        (ScaleShift, {"factor": 1.2}), (ScaleShift, {"factor": 0.0}), (ConstantShift, {"fraction": 0.0}),
        (OffsetShift, {"offset": 1.0}), (PowerShift, {"exponent": 0.0}), (NextStepShift, {"last": 0.0}),
        (LogSNRShift, {"delta": float("inf")}), (CalibratedShift, {"lowest": 1.0}), (CalibratedShift, {"points": 1}),
        (TableShift, {"times": (5, 4), "levels": (1, 2)}), (TableShift, {"times": (5,), "levels": ()}),
        (TableShift, {"times": (4, 5), "levels": (3, 2)}), (TableShift, {"times": (4,), "levels": (0,)}),
    ],
)  # fmt: skip
def test_a_number_out_of_range_is_refused_by_name(cls: type, bad: dict) -> None:
    with pytest.raises(ValueError, match=cls.__name__):
        cls(**bad)


class TestCalibratedShift:
    def test_takes_the_crossing_nearest_to_t_by_interpolation(self) -> None:
        # ratio 1 at gamma = .6 t exactly; the table is linear between measured levels, and so is this ratio
        table = CalibratedShift().calibrate(lambda t, g: 1.6 - g / t, sd_process(), [1000, 500])
        assert [table(t, sd_process(), [1000, 500]) for t in (1000, 500)] == [600, 300]

    def test_takes_the_nearest_and_warns_where_nothing_crosses(self) -> None:
        with pytest.warns(UserWarning, match="never passes 1 at t = 800"):
            table = CalibratedShift(lowest=0.5).calibrate(lambda t, g: 0.9 - g / t / 10, sd_process(), [800])
        assert table(800, sd_process(), [800]) == 400  # the smallest level has the largest ratio, .85

    def test_levels_never_fall_whatever_is_measured(self) -> None:
        ratios = {500: 0.9, 1000: 0.3}  # the crossing of the larger t lies below that of the smaller
        table = CalibratedShift(lowest=0.1).calibrate(lambda t, g: 1 + ratios[t] - g / t, sd_process(), [500, 1000])
        assert table.levels == (450, 450)

    def test_is_refused_before_it_was_measured_and_for_nan(self) -> None:
        with pytest.raises(ValueError, match="before it was calibrated"):
            CalibratedShift()(1000, sd_process(), [1000])
        with pytest.raises(ValueError, match="not finite"):
            CalibratedShift().calibrate(lambda t, g: float("nan"), sd_process(), [1000])

    @pytest.mark.parametrize("steps", [5, 10])
    def test_gives_the_target_the_spread_of_the_25_step_teacher(self, steps: int) -> None:
        """The closed-form teacher of unit Gaussian data, measured as in training."""
        process = sd_process()
        teacher = AnalyticTeacher(gaussian(process, 0.0, 1.0))
        diagnostics = Diagnostics(
            teacher,
            teacher.denoiser,
            [(1000, 667, 333), (1000,)],
            DDIM(noise_correction=True),
            cond=torch.zeros(64, 3, 5),
            shape=(2, 4, 4),
            random=keyed(batch=64),
        )
        states = diagnostics.states()
        spread = diagnostics.spread(states, diagnostics.teacher_std(states))
        target = TeacherTarget(shift=CalibratedShift(points=9), noise=StudentNoise(), steps=steps)
        assert abs(spread(dataclasses.replace(target, shift=IdentityShift()), 1000) - 1) > 0.04  # something to repair
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # all three cross
            calibrated = target.calibrate(spread, process, diagnostics.times)
        assert not calibrated.needs_calibration
        for t in diagnostics.times:
            assert spread(calibrated, t) == pytest.approx(1, abs=0.01)
