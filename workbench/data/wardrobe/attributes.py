"""What a wardrobe image can be: the attributes, their values, and which combinations are held out."""

from __future__ import annotations

from functools import cache

import numpy as np

# In the order of Fashion-MNIST's labels 0 .. 9.
GARMENTS = (
    "t-shirt",
    "pair of trousers",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
TEXTURES = ("plain", "striped", "dotted", "checked")
POSITIONS = ("left", "right", "top", "bottom")

RGB = np.array(
    [
        [214, 39, 40],
        [255, 140, 20],
        [245, 222, 50],
        [44, 160, 44],
        [60, 200, 220],
        [40, 80, 215],
        [145, 60, 190],
        [240, 240, 240],
    ],
    dtype=np.float32,
)  # (8, 3), 0 .. 255
# The second colour of a texture: pale on dark colours, dark on light ones, so that every texture has contrast.
LIGHT = np.array([False, False, True, False, True, False, False, True])

VALUES = {
    "garment": GARMENTS,
    "colour": COLOURS,
    "texture": TEXTURES,
    "background": COLOURS,
    "position": POSITIONS,
}  # attribute -> its names, in the order of a judge's logits

HELD_OUT_SEED = 20240508


@cache
def held_out() -> frozenset[tuple[int, int, int]]:
    """One tenth of the (garment, colour, texture) combinations, 32 of 320, never shown in training: *unseen*."""
    combinations = [(g, c, x) for g in range(10) for c in range(8) for x in range(4)]
    order = np.random.Generator(np.random.Philox(HELD_OUT_SEED)).permutation(len(combinations))
    return frozenset(combinations[i] for i in order[: len(combinations) // 10])


def is_seen(garment: int, colour: int, texture: int) -> bool:
    """False for a combination that no training image shows."""
    return (garment, colour, texture) not in held_out()
