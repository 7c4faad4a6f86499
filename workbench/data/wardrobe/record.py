"""What an index of the wardrobe holds before it is drawn: attributes, caption, and the light that no caption names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.data.wardrobe import captions
from workbench.data.wardrobe.attributes import COLOURS, GARMENTS, POSITIONS, TEXTURES, VALUES, held_out, is_seen

FOLDS = ("teacher", "judge", "test")  # by garment image, never mixed
UNSEEN_SHARE = {"teacher": 0.0, "judge": 0.1, "test": 0.25}  # of each fold's images
PROMPTS = {"tune": 0, "report": 1_000_000}  # first index of each half of the test prompts; the halves are disjoint


@dataclass(frozen=True)
class Record:
    """One image's description. Attribute fields are names ("red"); `named` says which of them the caption names."""

    caption: str
    garment: str
    colour: str
    texture: str
    background: str
    position: str
    named: frozenset[str]
    seen: bool
    index: int
    # Below: what the caption never names.
    garment_draw: float  # in [0, 1): which image of that garment
    size: int  # of the garment, 20 .. 22 pixels
    jitter: tuple[float, float]  # along and across the position's axis, in [0, 1)
    phase: tuple[int, int]  # of the texture, pixels
    light: tuple[float, float, float]  # gain of each channel

    @property
    def labels(self) -> dict[str, int]:
        """attribute -> index into attributes.VALUES."""
        return {name: VALUES[name].index(getattr(self, name)) for name in VALUES}


def record(seed: int, fold: str, index: int) -> Record:
    """The record at `index`, a pure function of its arguments (counter-based: no state, any order)."""
    key = np.random.SeedSequence([seed, FOLDS.index(fold), index]).generate_state(2, np.uint64)
    rng = np.random.Generator(np.random.Philox(key=key))
    if rng.random() < UNSEEN_SHARE[fold]:
        triples = sorted(held_out())
        garment, colour, texture = triples[rng.integers(len(triples))]
    else:
        while True:
            garment, colour, texture = (int(rng.integers(n)) for n in (10, 8, 4))
            if is_seen(garment, colour, texture):
                break
    background = int((colour + 1 + rng.integers(7)) % 8)  # never the garment's own colour
    values = {
        "garment": GARMENTS[garment],
        "colour": COLOURS[colour],
        "texture": TEXTURES[texture],
        "background": COLOURS[background],
        "position": POSITIONS[int(rng.integers(4))],
    }
    named = captions.draw_named(rng)
    caption = captions.phrase(values, named, captions.OPENINGS[int(rng.integers(len(captions.OPENINGS)))])
    brightness, warmth = rng.uniform(-0.30, 0.05), rng.uniform(-0.12, 0.12)
    return Record(
        caption=caption,
        **values,
        named=named,
        seen=is_seen(garment, colour, texture),
        index=index,
        garment_draw=float(rng.random()),
        size=int(rng.integers(20, 23)),
        jitter=(float(rng.random()), float(rng.random())),
        phase=(int(rng.integers(8)), int(rng.integers(8))),
        light=tuple(float(x) for x in np.exp(brightness + warmth * np.array([1.0, 0.0, -1.0]))),  # type: ignore[arg-type]
    )


def prompts(split: str, n: int, seed: int = 0) -> Sequence[Record]:
    """The first n test prompts of a half. `split` is "tune" (what a search sees) or "report" (what a table shows).

    Prompt i of a half is the caption of one image of the test fold, so that real images with the same attributes exist.
    A quarter of them describe combinations that no training image shows (`seen` is False).
    Raises ValueError for another split, or n outside 1 .. 1,000,000.
    """
    if split not in PROMPTS:
        raise ValueError(f"prompts: the split must be one of {', '.join(PROMPTS)}, but got {split!r}.")
    if not 1 <= n <= 1_000_000:
        raise ValueError(f"prompts: n must be between 1 and 1,000,000, but got {n}.")
    return [record(seed, "test", PROMPTS[split] + i) for i in range(n)]
