"""What a configuration needs of its teacher, found out before anything starts.

`workbench.config.resolve` checks a configuration by itself. Whether the parts fit a teacher depends on its schedule:
gamma(t) may leave it, a grid may not begin at its T. Reading the schedule is cheap, so that a sweep can ask for every
cell.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from workbench.config import Config, ConfigError
from workbench.diffusion import NoiseProcess
from workbench.models import load_process
from workbench.training.devices import check_devices


def check_training(config: Config) -> None:
    """Check devices, teacher, grids and losses without loading a network.

    Raises:
        ConfigError: where, what, and what to do.
    """
    check_devices(config.train.accelerator, config.train.devices)
    process = process_of(config)
    grids = student_grids(config, process)
    model = config.model
    try:
        visited = model.trajectory.grids(process, grids)
    except ValueError as error:
        raise ConfigError(f"model.trajectory: {error}") from error
    for name, loss in model.losses.items():
        try:
            loss.check(process, visited)
            loss.check_parts(model.sampler, model.trajectory)
        except ValueError as error:
            raise ConfigError(f"model.losses.{name}: {error}") from error


def reads_images(config: Config) -> bool:
    """Whether the training reads real images: its trajectory starts from them, or a loss compares with them."""
    model = config.model
    return model.trajectory.needs_images or any(loss.needs_images for loss in model.losses.values())


def process_of(config: Config) -> NoiseProcess:
    """The teacher's noise process. Raises ConfigError for a folder that is no teacher, or one that cannot work."""
    try:
        return _process(config.teacher.path)
    except ValueError as error:
        raise ConfigError(f"teacher.path: {error}") from error


@lru_cache(maxsize=16)  # the cells of a sweep share a teacher
def _process(path: str | Path) -> NoiseProcess:
    return load_process(path)


def student_grids(config: Config, process: NoiseProcess) -> tuple[tuple[int, ...], ...]:
    """The student's times for each of `model.num_steps`. Raises ConfigError for a grid that the process lacks."""
    try:
        return tuple(tuple(config.model.grid.timesteps(process, n)) for n in config.model.num_steps)
    except ValueError as error:
        raise ConfigError(f"model.grid: {error}") from error
