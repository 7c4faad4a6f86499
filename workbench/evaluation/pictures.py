"""Sample grids as PNG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from workbench.files import write_atomically

LEAST_TILE = 96  # pixels; smaller images are enlarged by a whole number, every pixel staying a square
GAP = 4  # pixels of white between tiles


def tile(images: Tensor, columns: int) -> Tensor:
    """uint8 (N, 3, H, W), N >= 1, row by row into one (3, H', W'); missing tiles are white."""
    n, _, h, w = images.shape
    zoom = max(1, math.ceil(LEAST_TILE / max(h, w)))
    big = images.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    rows = math.ceil(n / columns)
    canvas = torch.full((3, rows * (h * zoom + GAP) - GAP, columns * (w * zoom + GAP) - GAP), 255, dtype=torch.uint8)
    for i, image in enumerate(big):
        top, left = (i // columns) * (h * zoom + GAP), (i % columns) * (w * zoom + GAP)
        canvas[:, top : top + h * zoom, left : left + w * zoom] = image
    return canvas


def save_png(image: Tensor, path: Path, captions: Sequence[str] = ()) -> None:
    """Write uint8 (3, H, W) as PNG, by rename. captions stand in the file's text chunk "prompts", one a line."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if captions:
        info.add_itxt("prompts", "\n".join(captions))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(buffer, "PNG", pnginfo=info)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getvalue()))
