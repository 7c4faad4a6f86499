"""Trajectories: where the student is trained."""

from workbench.distill.trajectories.averaged_backward import AveragedBackward
from workbench.distill.trajectories.backward import Backward
from workbench.distill.trajectories.base import Start, States, Trajectory
from workbench.distill.trajectories.fine_forward import FineForward
from workbench.distill.trajectories.forward import Forward
from workbench.distill.trajectories.mixture import Mixture
from workbench.distill.trajectories.staged import Staged

__all__ = [
    "AveragedBackward",
    "Backward",
    "FineForward",
    "Forward",
    "Mixture",
    "Staged",
    "Start",
    "States",
    "Trajectory",
]
