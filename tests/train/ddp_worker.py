"""Train as a config file says, and keep the student's gradient of every update: `ddp_worker.py CONFIG RUN_DIR DEVICES`.

A script of its own, since Lightning starts the other ranks by running the same command again. The teacher is whatever
the config names, so that the same check runs on the shipped one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch

from workbench import train
from workbench.config import load_yaml, resolve
from workbench.distill.module import Distillation


def main(config: str, run_dir: str, devices: str) -> None:
    folder = Path(run_dir)
    step = Distillation._step

    def keeping(self: Distillation, visited: int) -> Any:
        if int(os.environ.get("LOCAL_RANK", "0")) == 0:
            gradient = torch.cat([p.grad.flatten() for p in self.trainable if p.grad is not None])
            torch.save(gradient, folder / f"gradient{self.update}.pt")
        return step(self, visited)

    Distillation._step = keeping  # type: ignore[method-assign]
    train.run(resolve(load_yaml(Path(config)), {"train.devices": int(devices)}), folder, quiet=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
