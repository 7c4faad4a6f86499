"""Noises: what the student's prediction is noised with before the teacher looks at it."""

from workbench.distill.noises.base import TargetNoise
from workbench.distill.noises.fresh import FreshNoise
from workbench.distill.noises.initial import InitialNoise
from workbench.distill.noises.mixed import MixedNoise
from workbench.distill.noises.student import StudentNoise

__all__ = ["FreshNoise", "InitialNoise", "MixedNoise", "StudentNoise", "TargetNoise"]
