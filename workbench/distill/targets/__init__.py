"""Targets: what the student's x0 is pulled towards."""

from workbench.distill.targets.alpha_weighted import AlphaWeightedTarget
from workbench.distill.targets.base import Bindable, Target, TeacherLike
from workbench.distill.targets.consistency import ConsistencyTarget
from workbench.distill.targets.fixed_step import FixedStepTarget
from workbench.distill.targets.limited_guidance import LimitedGuidanceTarget
from workbench.distill.targets.progressive import ProgressiveTarget
from workbench.distill.targets.teacher import TeacherTarget

__all__ = [
    "AlphaWeightedTarget",
    "Bindable",
    "ConsistencyTarget",
    "FixedStepTarget",
    "LimitedGuidanceTarget",
    "ProgressiveTarget",
    "Target",
    "TeacherLike",
    "TeacherTarget",
]
