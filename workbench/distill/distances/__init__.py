"""Distances between the student's x0 and the target."""

from workbench.distill.distances.base import Distance
from workbench.distill.distances.l1 import L1
from workbench.distill.distances.lpips import LPIPS
from workbench.distill.distances.mse import MSE
from workbench.distill.distances.pseudo_huber import PseudoHuber
from workbench.distill.distances.snr_weighted import SNRWeighted

__all__ = ["L1", "LPIPS", "MSE", "Distance", "PseudoHuber", "SNRWeighted"]
