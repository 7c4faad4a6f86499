import itertools

import pytest
import torch

from tests.metrics.fakes import PixelMeans, Prompt, batch, random_images
from workbench.metrics import Diversity, Measurement


def diversity(images: torch.Tensor, captions: list[str]) -> float:
    prompts = [Prompt(c) for c in captions]
    measurement = Measurement([Diversity(PixelMeans())], prompts)
    measurement.update(batch(images, prompts))
    return measurement.compute()["diversity[means]"]


def test_is_the_mean_distance_within_prompts_and_not_between_them() -> None:
    images, captions = random_images(7), ["a", "b", "a", "c", "b", "a", "a"]
    features = PixelMeans()(images).double()
    expected = []
    for caption in ("a", "b"):  # "c" has one image and says nothing
        rows = [i for i, c in enumerate(captions) if c == caption]
        pairs = [float((features[i] - features[j]).norm()) for i, j in itertools.combinations(rows, 2)]
        expected.append(sum(pairs) / len(pairs))
    assert diversity(images, captions) == pytest.approx(sum(expected) / 2, rel=1e-9)


def test_a_collapsed_student_has_none() -> None:
    image = random_images(1)
    assert diversity(image.expand(6, -1, -1, -1), ["a", "b"] * 3) == pytest.approx(0, abs=1e-7)


def test_prompts_that_all_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="all 3 prompts differ"):
        diversity(random_images(3), ["a", "b", "c"])
