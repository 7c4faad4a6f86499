import math

import pytest
import torch

from tests.metrics.fakes import PixelMeans, Prompt, batch, random_images
from workbench.metrics import Measurement, TeacherDistance


def distance(images: torch.Tensor, paired: torch.Tensor | None) -> dict[str, float]:
    prompts = [Prompt() for _ in images]
    measurement = Measurement([TeacherDistance(PixelMeans())], prompts)
    measurement.update(batch(images, prompts, paired))
    return measurement.compute()


def test_the_teachers_own_images_are_at_distance_zero() -> None:
    values = distance(random_images(5), random_images(5))
    assert values["teacher/mse"] == values["teacher/distance[means]"] == values["teacher/saturation"] == 0
    assert values["teacher/psnr"] == pytest.approx(58.92, abs=0.01)  # the rounding of uint8 is the floor


def test_a_constant_offset_by_hand() -> None:
    paired = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    values = distance(paired + 51, paired)  # 51 / 255 = 0.2
    assert values["teacher/mse"] == pytest.approx(0.04)
    assert values["teacher/psnr"] == pytest.approx(-10 * math.log10(0.04))
    assert values["teacher/distance[means]"] == pytest.approx(0.2 * 12**0.5, rel=1e-6)
    assert values["teacher/brightness"] == pytest.approx(0.2)


def test_no_pair_is_an_error_and_not_a_zero() -> None:
    with pytest.raises(ValueError, match=r"Batch\.paired"):
        distance(random_images(2), None)
