"""What an ablation varies: trajectories, shifts, noises, targets, distances, losses. (The training step: .module.)"""

from workbench.distill.distances import L1, MSE, Distance, PseudoHuber, SNRWeighted
from workbench.distill.games import Game, Hinge, NonSaturating, Relativistic
from workbench.distill.losses import Adversarial, DistributionMatching, Loss, Reconstruction
from workbench.distill.noises import FreshNoise, InitialNoise, MixedNoise, StudentNoise, TargetNoise
from workbench.distill.optimizers import SGD, AdamW, OptimizerKind
from workbench.distill.shifts import (
    CalibratedShift,
    ConstantShift,
    IdentityShift,
    JitterShift,
    LogSNRShift,
    NextStepShift,
    OffsetShift,
    PowerShift,
    RandomShift,
    ScaleShift,
    ShiftSchedule,
    TableShift,
)
from workbench.distill.state import Keyed, State
from workbench.distill.targets import (
    AlphaWeightedTarget,
    ConsistencyTarget,
    LimitedGuidanceTarget,
    ProgressiveTarget,
    Target,
    TeacherTarget,
)
from workbench.distill.trajectories import (
    AveragedBackward,
    Backward,
    FineForward,
    Forward,
    Mixture,
    Staged,
    Start,
    Trajectory,
)
from workbench.distill.update import Update

__all__ = [
    "L1",
    "MSE",
    "SGD",
    "AdamW",
    "Adversarial",
    "AlphaWeightedTarget",
    "AveragedBackward",
    "Backward",
    "CalibratedShift",
    "ConsistencyTarget",
    "ConstantShift",
    "Distance",
    "DistributionMatching",
    "FineForward",
    "Forward",
    "FreshNoise",
    "Game",
    "Hinge",
    "IdentityShift",
    "InitialNoise",
    "JitterShift",
    "Keyed",
    "LimitedGuidanceTarget",
    "LogSNRShift",
    "Loss",
    "MixedNoise",
    "Mixture",
    "NextStepShift",
    "NonSaturating",
    "OffsetShift",
    "OptimizerKind",
    "PowerShift",
    "ProgressiveTarget",
    "PseudoHuber",
    "RandomShift",
    "Reconstruction",
    "Relativistic",
    "SNRWeighted",
    "ScaleShift",
    "ShiftSchedule",
    "Staged",
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
