"""How long one network pass takes on this machine."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.study.asset_hashes import training_assets
from workbench.study.digest import digest
from workbench.study.files import read_json, write_json
from workbench.study.provenance import gather

BATCH = 32
REPEATS = 5


def seconds_a_pass(config: Mapping[str, Any], cache: Path) -> tuple[float, str]:
    """Seconds for one forward without gradient of one sample by the configuration's teacher, and the device's kind.

    One thread on a CPU, as a cell has; the median of five batches of 32. Measured once for each teacher and machine,
    then read from `cache`. Raises what loading the teacher raises.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    hardware = {k: v for k, v in gather()["hardware"].items() if k in ("processor", "gpus")}
    path = cache / f"pass-{digest([training_assets(config), device, hardware, torch.__version__])}.json"
    known = read_json(path)
    if isinstance(known, dict) and isinstance(known.get("seconds"), float):
        return known["seconds"], device
    seconds = _measure(config, device)
    write_json(path, {"seconds": seconds, "device": device})
    return seconds, device


def _measure(config: Mapping[str, Any], device: str) -> float:
    import torch

    from workbench.evaluation.quiet import quiet_libraries
    from workbench.models import load_teacher

    quiet_libraries()
    teacher = load_teacher(config["teacher"]["path"]).to(torch.device(device), torch.float32)
    channels, height, width = teacher.latent_shape
    x_t = torch.zeros(BATCH, channels, height, width, device=device)
    t = torch.full((BATCH,), teacher.process.num_train_timesteps, device=device, dtype=torch.long)
    cond = teacher.uncond.to(device).expand(BATCH, *teacher.uncond.shape[-2:])
    threads = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    # One thread's own time: what else runs on the machine now does not change the plan.
    clock = time.process_time if device == "cpu" else time.perf_counter
    times = []
    try:
        with torch.no_grad():
            for _ in range(REPEATS + 1):  # the first one allocates
                start = clock()
                teacher.denoiser(x_t, t, cond)
                if device == "cuda":
                    torch.cuda.synchronize()
                times.append(clock() - start)
    finally:
        torch.set_num_threads(threads)
    return sorted(times[1:])[REPEATS // 2] / BATCH
