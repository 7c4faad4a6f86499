"""Sample grids: the same noise and captions at every look, a row a caption, a column a number of steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from workbench.diffusion import Prediction, Sampler, sample
from workbench.distill.state import Keyed
from workbench.files import write_atomically
from workbench.models import Teacher


@torch.no_grad()
def sample_grid(
    teacher: Teacher,
    student: Callable[[Tensor, Tensor, Tensor | None], Prediction],
    grids: Sequence[Sequence[int]],
    sampler: Sampler,
    cond: Tensor,
    random: Keyed,
) -> Tensor:
    """uint8 (3, rows H, columns W): row i is caption i, column j the student with the times grids[j].

    Every image of a row starts from the same x_T.
    """
    columns = []
    for grid in grids:
        grid_steps = len(grid)

        def noise(move: int, steps: int = grid_steps) -> Tensor:
            return random.within(f"moves{steps}").normal(str(move), teacher.latent_shape)

        x_T = random.normal("x_T", teacher.latent_shape)
        latents = sample(
            teacher.process, lambda x_t, t: student(x_t, t, cond), x_T, grid, sampler, noise=noise
        )  # (n, C, h, w)
        columns.append(teacher.decode(latents))
    tiles = torch.stack(columns, dim=1)  # (rows, columns, 3, H, W)
    rows, cols, channels, height, width = tiles.shape
    grid_image = tiles.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, cols * width)
    return ((grid_image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).cpu()


def write_png(path: Path, image: Tensor) -> None:
    """Write uint8 (3, H, W) as PNG, by rename."""
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    write_atomically(path, lambda temporary: picture.save(temporary, format="PNG"))
