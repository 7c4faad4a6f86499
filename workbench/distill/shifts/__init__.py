"""Shifts: gamma(t), the noise level at which the teacher looks."""

from workbench.distill.shifts.base import Measure, ShiftSchedule
from workbench.distill.shifts.calibrated import CalibratedShift
from workbench.distill.shifts.constant import ConstantShift
from workbench.distill.shifts.identity import IdentityShift
from workbench.distill.shifts.jitter import JitterShift
from workbench.distill.shifts.log_snr import LogSNRShift
from workbench.distill.shifts.next_step import NextStepShift
from workbench.distill.shifts.offset import OffsetShift
from workbench.distill.shifts.power import PowerShift
from workbench.distill.shifts.random import RandomShift
from workbench.distill.shifts.scale import ScaleShift
from workbench.distill.shifts.table import TableShift

__all__ = [
    "CalibratedShift",
    "ConstantShift",
    "IdentityShift",
    "JitterShift",
    "LogSNRShift",
    "Measure",
    "NextStepShift",
    "OffsetShift",
    "PowerShift",
    "RandomShift",
    "ScaleShift",
    "ShiftSchedule",
    "TableShift",
]
