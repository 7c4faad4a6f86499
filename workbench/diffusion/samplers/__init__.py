"""Samplers: how a state moves from t to t_next."""

from workbench.diffusion.samplers.base import Denoise, ExactNoise, Noise, Sampler, Step, advance, rollout, sample, solve
from workbench.diffusion.samplers.ddim import DDIM
from workbench.diffusion.samplers.dpm_solver_pp import DPMSolverPP
from workbench.diffusion.samplers.heun import Heun
from workbench.diffusion.samplers.renoise import Renoise

__all__ = [
    "DDIM",
    "DPMSolverPP",
    "Denoise",
    "ExactNoise",
    "Heun",
    "Noise",
    "Renoise",
    "Sampler",
    "Step",
    "advance",
    "rollout",
    "sample",
    "solve",
]
