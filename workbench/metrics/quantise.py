"""Pixels as they would be stored in a PNG: every metric sees these and nothing finer."""

from __future__ import annotations

import torch
from torch import Tensor


def to_uint8(images: Tensor) -> Tensor:
    """Float images in [-1, 1], (B, 3, H, W), as uint8: round(clamp(x) * 255).

    Rounded, not truncated: a plain `.byte()` darkens every image by half a grey level on average. Raises ValueError for
    NaN, which would silently become black.
    """
    if not images.is_floating_point():
        raise ValueError(f"to_uint8 needs float images in [-1, 1], but got {images.dtype}.")
    if torch.isnan(images).any():
        bad = torch.isnan(images).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(f"to_uint8: NaN in image {bad[0]} of this batch ({len(bad)} of {len(images)} hold NaN).")
    return ((images.float() + 1) / 2).clamp(0, 1).mul(255).round().to(torch.uint8)


def to_unit(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]."""
    assert images.dtype == torch.uint8, images.dtype
    return images.float() / 255
