"""The leak autopsy: its cases, its sampler and its interval."""

from typing import Any

import pytest
import torch

from workbench.diffusion import DDIM, Draws
from workbench.evaluation.generator import teacher_generator
from workbench.notebook import autopsy


@pytest.fixture(scope="module")
def case(tiny_teacher):
    return autopsy.find_case(tiny_teacher, "blue", 6)


def test_every_image_has_the_ground_and_no_caption_names_it(case):
    assert len(case.records) == len(case.images) == 6
    assert all(r.background == "blue" and "background" not in r.named for r in case.records)
    assert not any("background" in caption for caption in case.captions)


def test_the_two_starts_differ_by_the_image_alone(case, tiny_teacher):
    process = tiny_teacher.process
    with torch.no_grad():
        latents = tiny_teacher.encode(case.images.float() / 127.5 - 1)
    left = case.x_T[autopsy.LEAKY] - process.sigmas[-1] * case.x_T[autopsy.CLEAN]
    torch.testing.assert_close(left, (process.alpha_T * latents).to(left), rtol=0, atol=1e-6)


def test_drawing_from_an_evaluations_noise_gives_its_images(tiny_teacher):
    generator = teacher_generator(tiny_teacher, 3, seed=4, sampler=DDIM(noise_correction=True))
    captions = ["a red bag", "a dress"]
    x_T = Draws(4).normal("evaluation/x_T", 0, [0, 1], tiny_teacher.latent_shape)
    ours = autopsy.draw(generator, captions, x_T)
    theirs = generator.images(captions, [0, 1])
    assert ((ours + 1) * 127.5 - theirs.float()).abs().max() <= 1  # theirs are rounded


def test_a_judge_that_sees_every_ground_gives_the_share(case):
    real = case.images.float() / 127.5 - 1
    assert autopsy.find(real, "blue").share >= 5 / 6  # the shipped judge on real images: 99 % and more
    assert autopsy.find(real, "red").share <= 1 / 6


def test_grey_images_have_no_saturation_and_vivid_ones_have():
    grey, red = torch.zeros(3, 3, 32, 32), torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(3, 3, 32, 32)
    assert autopsy.find(grey, "blue").saturation == 0
    assert autopsy.find(red, "blue").saturation == 1
    assert autopsy.find(red, "blue").saturation_interval == (1, 1)


def test_the_interval_holds_the_share_and_stays_inside():
    for share, n in ((0.0, 10), (0.3, 10), (1.0, 7)):
        low, high = autopsy.wilson(share, n)
        assert 0 <= low <= share <= high <= 1
        mirrored = autopsy.wilson(1 - share, n)
        assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))
    low, high = autopsy.wilson(0.5, 10_000)
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / 100, rel=1e-3)  # the normal interval, for many


def test_a_marker_stands_at_its_share_in_the_order_given():
    def finding(share):
        return autopsy.Finding(share, (share - 0.1, share + 0.1), 0.5, (0.4, 0.6))

    starts = {"x": (0.1, 0.9), "y": (0.2, 0.3)}
    found = {who: {autopsy.CLEAN: finding(a), autopsy.LEAKY: finding(b)} for who, (a, b) in starts.items()}
    axes: Any = autopsy.plot_findings(found, 48, "blue").axes[0]
    markers = {line.get_label(): list(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None"}
    assert markers == {f"from {autopsy.CLEAN}": [0.1, 0.2], f"from {autopsy.LEAKY}": [0.9, 0.3]}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["x", "y"]
    assert axes.yaxis_inverted()


def test_an_unknown_ground_or_too_few_images_are_named(tiny_teacher):
    with pytest.raises(ValueError, match="ground must be one of red, orange"):
        autopsy.find_case(tiny_teacher, "mauve", 3)
    with pytest.raises(ValueError, match=r"only \d+ of 30 test images fit, but 20 were asked for"):
        autopsy.find_case(tiny_teacher, "blue", 20, limit=30)
