"""Adversarial games."""

from workbench.distill.games.base import Game
from workbench.distill.games.hinge import Hinge
from workbench.distill.games.non_saturating import NonSaturating
from workbench.distill.games.relativistic import Relativistic

__all__ = ["Game", "Hinge", "NonSaturating", "Relativistic"]
