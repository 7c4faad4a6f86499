"""Targets: what the student's x0 is pulled towards."""

from workbench.distill.targets.base import Bindable, Target, TeacherLike
from workbench.distill.targets.teacher import TeacherTarget

__all__ = ["Bindable", "Target", "TeacherLike", "TeacherTarget"]
