"""Optimisers of the student."""

from workbench.distill.optimizers.adamw import AdamW
from workbench.distill.optimizers.base import OptimizerKind
from workbench.distill.optimizers.sgd import SGD

__all__ = ["SGD", "AdamW", "OptimizerKind"]
