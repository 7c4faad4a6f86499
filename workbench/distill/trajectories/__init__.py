"""Trajectories: where the student is trained."""

from workbench.distill.trajectories.backward import Backward
from workbench.distill.trajectories.base import Start, States, Trajectory
from workbench.distill.trajectories.forward import Forward
from workbench.distill.trajectories.mixture import Mixture

__all__ = ["Backward", "Forward", "Mixture", "Start", "States", "Trajectory"]
