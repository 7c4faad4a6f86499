"""Whether there are as many devices as a run asks for: found out before anything starts."""

from __future__ import annotations

import os

import torch

from workbench.config import ConfigError


def check_devices(accelerator: str, devices: int) -> None:
    """Raises ConfigError if this node has fewer GPUs, or for CPU processes fewer cores, than `devices`, or none at all.

    Two CPU processes are always allowed: that is how distributed training is tried out.
    """
    gpus = torch.cuda.device_count() if accelerator in ("auto", "gpu", "cuda") else 0
    if gpus:
        have, kind = gpus, "visible GPUs"
    elif accelerator in ("auto", "cpu"):
        have, kind = max(2, os.cpu_count() or 1), "CPU cores"
    elif accelerator in ("gpu", "cuda"):
        if accelerator == "gpu" and torch.backends.mps.is_available():
            return
        raise ConfigError(
            f"train.accelerator: {accelerator} was asked for, but this node has no visible GPU. Use auto, or cpu; if "
            "there should be one, see nvidia-smi and CUDA_VISIBLE_DEVICES."
        )
    else:
        return  # Lightning knows its other accelerators
    if devices > have:
        raise ConfigError(
            f"train.devices: {devices} were asked for, but this node has {have} {kind}. Use at most {have}, "
            "or more nodes (train.num_nodes)."
        )
