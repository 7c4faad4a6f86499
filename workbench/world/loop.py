"""A training loop for the networks that are shipped: progress with ETA, a checkpoint every few minutes, resume."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn

from workbench.files import write_atomically
from workbench.tensor_files import read_torch

WORK = Path("results") / "world"  # checkpoints and curves of these commands; nothing there is shipped


def one_cycle(step: int, steps: int, warmup: int = 100) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine to zero."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


@torch.no_grad()
def ema_update(averages: list[Tensor], parameters: list[Tensor], decay: float) -> None:
    """averages <- decay averages + (1 - decay) parameters, in place."""
    torch._foreach_lerp_(averages, parameters, 1 - decay)


def fit(
    name: str,
    modules: Mapping[str, nn.Module],
    loss: Callable[[int], dict[str, Tensor]],
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float = 0.01,
    ema: float = 0.0,
    checkpoint_minutes: float = 3.0,
    work: Path = WORK,
) -> None:
    """Train `modules` on `loss(step)["loss"]`; the same call again goes on where the last checkpoint was written.

    `loss` must depend on nothing but the step and the modules, so that a resumed run sees the same batches.
    With ema > 0 the modules end with the averaged weights (warm-up: min(ema, (1 + step) / (10 + step))).
    Writes work/<name>.ckpt and work/<name>.jsonl.
    """
    parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.99))
    averages = [p.detach().clone() for p in parameters]
    path, curve = work / f"{name}.ckpt", work / f"{name}.jsonl"
    work.mkdir(parents=True, exist_ok=True)
    start = 0
    if path.is_file():
        state = read_torch(path)
        for key, module in modules.items():
            module.load_state_dict(state["modules"][key])
        optimiser.load_state_dict(state["optimiser"])
        averages, start = [a.to(p.device) for a, p in zip(state["averages"], parameters, strict=True)], state["step"]

    def checkpoint(step: int) -> None:
        weights = {key: module.state_dict() for key, module in modules.items()}
        state = {"modules": weights, "optimiser": optimiser.state_dict(), "averages": averages, "step": step}
        write_atomically(path, lambda temporary: torch.save(state, temporary))

    columns = (TextColumn(name), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    last = time.monotonic()
    with Progress(*columns, TextColumn("{task.fields[losses]}")) as progress:
        task = progress.add_task(name, total=steps, completed=start, losses="")
        for step in range(start, steps):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * one_cycle(step, steps)
            losses = loss(step)
            if not torch.isfinite(losses["loss"]):
                raise RuntimeError(f"{name}: loss {losses['loss'].item()} at step {step}; lower --learning-rate.")
            optimiser.zero_grad(set_to_none=True)
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            if ema:
                ema_update(averages, [p.detach() for p in parameters], min(ema, (1 + step) / (10 + step)))
            if step % 50 == 49:
                row = {key: round(value.item(), 6) for key, value in losses.items()}
                progress.update(task, losses=" ".join(f"{k} {v:.4g}" for k, v in row.items()))
                with open(curve, "a") as file:
                    print(json.dumps({"step": step + 1, **row}), file=file)
            progress.update(task, advance=1)
            if time.monotonic() - last > 60 * checkpoint_minutes:
                checkpoint(step + 1)
                last = time.monotonic()
    checkpoint(steps)
    if ema:
        with torch.no_grad():
            for p, a in zip(parameters, averages, strict=True):
                p.copy_(a)
