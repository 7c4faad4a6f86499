"""The mathematics of diffusion: process, grids, samplers, randomness. Imports torch only; touches no file."""

from workbench.diffusion.grid import ExplicitGrid, LogSNRGrid, StudentGrid, TrailingGrid, teacher_timesteps
from workbench.diffusion.process import PREDICTION_TYPES, NoiseProcess, Prediction, Timestep
from workbench.diffusion.randomness import Draws
from workbench.diffusion.samplers import (
    DDIM,
    Denoise,
    DPMSolverPP,
    ExactNoise,
    Heun,
    Noise,
    Renoise,
    Sampler,
    Step,
    advance,
    rollout,
    sample,
    solve,
)

__all__ = [
    "DDIM",
    "PREDICTION_TYPES",
    "DPMSolverPP",
    "Denoise",
    "Draws",
    "ExactNoise",
    "ExplicitGrid",
    "Heun",
    "LogSNRGrid",
    "Noise",
    "NoiseProcess",
    "Prediction",
    "Renoise",
    "Sampler",
    "Step",
    "StudentGrid",
    "Timestep",
    "TrailingGrid",
    "advance",
    "rollout",
    "sample",
    "solve",
    "teacher_timesteps",
]
