"""What an ablation varies: trajectories, shifts, noises, targets, distances, losses. (The training step: .module.)"""

from workbench.distill.distances import L1, MSE, Distance, PseudoHuber, SNRWeighted
from workbench.distill.games import Game, Hinge, NonSaturating
from workbench.distill.losses import Adversarial, Loss, Reconstruction
from workbench.distill.noises import FreshNoise, InitialNoise, MixedNoise, StudentNoise, TargetNoise
from workbench.distill.optimizers import SGD, AdamW, OptimizerKind
from workbench.distill.shifts import (
    CalibratedShift,
    ConstantShift,
    IdentityShift,
    LogSNRShift,
    NextStepShift,
    OffsetShift,
    PowerShift,
    ScaleShift,
    ShiftSchedule,
    TableShift,
)
from workbench.distill.state import Keyed, State
from workbench.distill.targets import Target, TeacherTarget
from workbench.distill.trajectories import Backward, Forward, Mixture, Start, Trajectory
from workbench.distill.update import Update

__all__ = [
    "L1",
    "MSE",
    "SGD",
    "AdamW",
    "Adversarial",
    "Backward",
    "CalibratedShift",
    "ConstantShift",
    "Distance",
    "Forward",
    "FreshNoise",
    "Game",
    "Hinge",
    "IdentityShift",
    "InitialNoise",
    "Keyed",
    "LogSNRShift",
    "Loss",
    "MixedNoise",
    "Mixture",
    "NextStepShift",
    "NonSaturating",
    "OffsetShift",
    "OptimizerKind",
    "PowerShift",
    "PseudoHuber",
    "Reconstruction",
    "SNRWeighted",
    "ScaleShift",
    "ShiftSchedule",
    "Start",
    "State",
    "StudentNoise",
    "TableShift",
    "Target",
    "TargetNoise",
    "TeacherTarget",
    "Trajectory",
    "Update",
]
