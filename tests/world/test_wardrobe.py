"""The embedded world: what an index holds, what captions name, what is never shown in training."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.data import Wardrobe, prompts
from workbench.data.wardrobe.attributes import COLOURS, RGB, VALUES, held_out
from workbench.data.wardrobe.captions import phrase
from workbench.data.wardrobe.garments import garments
from workbench.data.wardrobe.record import FOLDS, record


def test_an_index_holds_the_same_image_whatever_it_is_asked_with():
    data = Wardrobe("teacher")
    together, records = data.batch([5, 17, 3])
    for image, r in zip(together, records, strict=True):
        assert torch.equal(data.images([r.index])[0], image)
        assert data.captions([r.index]) == [r.caption]


def test_no_garment_image_is_in_two_folds():
    folds = {fold: {image.tobytes() for kind in garments(fold) for image in kind} for fold in FOLDS}
    assert all(len(images) > 1000 for images in folds.values())
    for a, b in [("teacher", "judge"), ("teacher", "test"), ("judge", "test")]:
        assert not folds[a] & folds[b]


def test_one_tenth_of_the_combinations_is_held_out_and_never_drawn_for_training():
    assert len(held_out()) == 32
    triples = {tuple(r.labels[n] for n in ("garment", "colour", "texture")) for r in Wardrobe().records(range(4000))}
    assert not triples & held_out()
    assert len(triples) == 320 - 32


def test_a_quarter_of_the_test_prompts_is_unseen_and_the_halves_are_disjoint():
    tune, report = prompts("tune", 2000), prompts("report", 2000)
    assert 0.2 < np.mean([not r.seen for r in report]) < 0.3
    assert not {r.index for r in tune} & {r.index for r in report}
    assert [r.caption for r in prompts("report", 50)] == [r.caption for r in report[:50]]


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**40), st.sampled_from(FOLDS), st.integers(0, 3))
def test_every_record_keeps_the_rules_of_the_world(index, fold, seed):
    r = record(seed, fold, index)
    assert r.colour != r.background
    assert r.seen == (tuple(r.labels[n] for n in ("garment", "colour", "texture")) not in held_out())
    assert "garment" in r.named <= set(VALUES)
    # A caption names an attribute's value exactly when `named` says so (a colour also occurs as the other's name).
    for name in ("garment", "texture", "position"):
        assert (f" {getattr(r, name)}" in r.caption.replace("at the", "on the")) == (name in r.named), r.caption
    assert (f"{r.background} background" in r.caption) == ("background" in r.named)


def test_captions_read_as_english():
    values = {
        "garment": "ankle boot",
        "colour": "orange",
        "texture": "checked",
        "background": "yellow",
        "position": "left",
    }
    assert phrase(values, frozenset({"garment"})) == "an ankle boot"
    assert phrase(values, frozenset(VALUES)) == "an orange checked ankle boot on the left of a yellow background"
    assert phrase(values, frozenset({"garment", "background"}), "a picture of ") == (
        "a picture of an ankle boot on a yellow background"
    )


def test_the_picture_shows_what_the_record_says():
    images, records = Wardrobe("test").batch(range(300))
    for image, r in zip(images.float(), records, strict=True):
        light = torch.tensor(r.light)
        ground = torch.from_numpy(RGB[COLOURS.index(r.background)]) * light
        is_ground = (image - ground.clamp(0, 255)[:, None, None]).abs().amax(0) < 1.5
        assert is_ground.float().mean() > 0.4, r.caption
        y, x = torch.nonzero(~is_ground, as_tuple=True)
        low, high = {"left": (0, x), "top": (0, y), "right": (1, x), "bottom": (1, y)}[r.position]
        centre = (high.min() + high.max()).item() / 2
        assert (centre > 15.5) == bool(low), (r.caption, centre)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Wardrobe("train"), "fold must be one of"),
        (lambda: Wardrobe(size=0), "at least 1"),
        (lambda: prompts("final", 3), "split must be one of"),
        (lambda: prompts("tune", 0), "n must be between"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
