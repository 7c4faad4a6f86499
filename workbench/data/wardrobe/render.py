"""Records to images: a garment, tinted, textured, lit and placed on a coloured ground of 32 x 32 pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from workbench.data.wardrobe.attributes import COLOURS, GARMENTS, LIGHT, RGB, TEXTURES
from workbench.data.wardrobe.garments import garments
from workbench.data.wardrobe.record import Record

SIZE = 32  # pixels
STRIPE, DOT, CHECK = 4, 5, 4  # periods and, for checks, the side of a square, in pixels


def pattern(texture: str, size: int, phase: tuple[int, int]) -> np.ndarray:
    """Where the second colour shows: (size, size) in {0, 1}."""
    y, x = np.mgrid[:size, :size]
    y, x = y + phase[0], x + phase[1]
    if texture == "striped":
        return (y // (STRIPE // 2) % 2).astype(np.float32)
    if texture == "dotted":
        return ((y % DOT < 2) & (x % DOT < 2)).astype(np.float32)
    if texture == "checked":
        return ((y // CHECK + x // CHECK) % 2).astype(np.float32)
    assert texture == "plain", texture
    return np.zeros((size, size), np.float32)


def place(record: Record) -> tuple[int, int]:
    """Top and left of the garment's square, pixels."""
    room = SIZE - record.size
    along, across = int(record.jitter[0] * 3), round(room / 2 + (record.jitter[1] - 0.5) * 2)
    return {
        "left": (across, along),
        "right": (across, room - along),
        "top": (along, across),
        "bottom": (room - along, across),
    }[record.position]


def shapes(grey: np.ndarray, sizes: Sequence[int]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """uint8 (B, 28, 28) -> per image a mask and a shade, float (size, size) in [0, 1]."""
    g = torch.from_numpy(grey).float()[:, None] / 255
    inside = (g > 0.03).float()
    inside = -F.max_pool2d(-F.max_pool2d(inside, 3, 1, 1), 3, 1, 1)  # closes pinholes in dark cloth
    masks: list[np.ndarray] = [np.empty(0)] * len(sizes)
    shades: list[np.ndarray] = [np.empty(0)] * len(sizes)
    for size in sorted(set(sizes)):
        rows = [i for i, s in enumerate(sizes) if s == size]
        small = F.interpolate(torch.cat([inside[rows], g[rows]], 1), (size, size), mode="bilinear", antialias=True)
        for i, (mask, shade) in zip(rows, small.numpy(), strict=True):
            masks[i], shades[i] = mask, shade
    return masks, shades


def render(records: Sequence[Record], fold: str) -> Tensor:
    """The images of these records, uint8 (B, 3, 32, 32). A pure function of its arguments."""
    pool = garments(fold)
    kinds = [GARMENTS.index(r.garment) for r in records]
    grey = np.stack([pool[k][int(r.garment_draw * len(pool[k]))] for k, r in zip(kinds, records, strict=True)])
    masks, shades = shapes(grey, [r.size for r in records])
    out = np.empty((len(records), SIZE, SIZE, 3), np.float32)
    for i, r in enumerate(records):
        colour = COLOURS.index(r.colour)
        first = RGB[colour]
        second = 0.25 * first if LIGHT[colour] else 0.25 * first + 0.75 * 255
        p = pattern(r.texture, r.size, r.phase)[..., None] if r.texture in TEXTURES[1:] else 0.0
        cloth = ((1 - p) * first + p * second) * (0.5 + 0.5 * shades[i][..., None])
        out[i] = RGB[COLOURS.index(r.background)]
        top, left = place(r)
        window = out[i, top : top + r.size, left : left + r.size]
        m = masks[i][..., None]
        window[:] = (1 - m) * window + m * cloth
        out[i] *= np.array(r.light, np.float32)
    return torch.from_numpy(out.clip(0, 255).round().astype(np.uint8)).permute(0, 3, 1, 2).contiguous()
