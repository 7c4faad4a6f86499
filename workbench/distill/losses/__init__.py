"""Losses: terms of the student's objective."""

from workbench.distill.losses.adversarial import Adversarial
from workbench.distill.losses.base import Loss
from workbench.distill.losses.distribution_matching import DistributionMatching
from workbench.distill.losses.reconstruction import Reconstruction

__all__ = ["Adversarial", "DistributionMatching", "Loss", "Reconstruction"]
