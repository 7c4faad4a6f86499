"""A caption for a record: several phrasings, and attributes that may be left out."""

from __future__ import annotations

import numpy as np

# How often a caption names an attribute; the garment is always named. What is left out is what can leak.
NAMED = {"colour": 0.8, "texture": 0.8, "background": 0.5, "position": 0.5}
OPENINGS = ("", "", "a picture of ", "an image of ")
PREPOSITION = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}


def draw_named(rng: np.random.Generator) -> frozenset[str]:
    """The attributes that one caption names."""
    u = rng.random(len(NAMED))
    return frozenset({"garment"} | {name for name, x in zip(NAMED, u, strict=True) if x < NAMED[name]})


def article(words: str) -> str:
    """'a' or 'an' before these words."""
    return "an" if words[0] in "aeiou" else "a"


def phrase(values: dict[str, str], named: frozenset[str], opening: str = "") -> str:
    """The caption of an image with these attribute values that names only `named`."""
    words = [values[name] for name in ("colour", "texture", "garment") if name in named]
    subject = " ".join(words)
    caption = f"{opening}{article(subject)} {subject}"
    ground = f"{article(values['background'])} {values['background']} background"
    if "position" in named and "background" in named:
        return f"{caption} {PREPOSITION[values['position']]} of {ground}"
    if "position" in named:
        return f"{caption} {PREPOSITION[values['position']]}"
    if "background" in named:
        return f"{caption} on {ground}"
    return caption
