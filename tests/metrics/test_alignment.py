from typing import Any

import pytest
import torch
from torch import Tensor

from tests.metrics.fakes import Prompt, TinyJudge, batch, random_images
from workbench.data.wardrobe.attributes import VALUES
from workbench.metrics import Alignment, Measurement


class Clairvoyant(torch.nn.Module):
    """Sees in image i the labels that are written down for it (the first pixel holds i)."""

    sha256 = "2" * 64

    def __init__(self, answers: list[dict[str, int]]) -> None:
        super().__init__()
        self.answers = answers

    def attributes(self, images: Tensor) -> dict[str, Tensor]:
        numbers = (images[:, 0, 0, 0] * 255).round().long().tolist()
        return {
            name: torch.nn.functional.one_hot(torch.tensor([self.answers[i][name] for i in numbers]), len(values))
            for name, values in VALUES.items()
        }


def align(prompts: list[Any], answers: list[dict[str, int]]) -> dict[str, float]:
    images = torch.arange(len(prompts), dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 32, 32).contiguous()
    measurement = Measurement([Alignment(Clairvoyant(answers))], prompts)
    measurement.update(batch(images, prompts))
    return measurement.compute()


RED_ON_BLUE = {"garment": 3, "colour": 0, "texture": 1, "background": 5, "position": 2}


def test_a_perfect_image_has_every_share_one() -> None:
    values = align([Prompt(labels=RED_ON_BLUE)], [RED_ON_BLUE])
    right = [v for k, v in values.items() if "swapped" not in k]
    assert right == [1] * len(right) and values["align/swapped"] == 0
    assert {"align/colour", "align/shape", "align/texture", "align/spatial", "align/complex"} <= set(values)


def test_only_what_the_caption_names_is_asked() -> None:
    # The texture is wrong, but no caption mentions it.
    named = frozenset({"garment", "colour"})
    values = align([Prompt(labels=RED_ON_BLUE, named=named)], [RED_ON_BLUE | {"texture": 0}])
    assert values["align/colour"] == values["align/complex"] == 1
    assert "align/texture" not in values and "align/binding" not in values


def test_complex_needs_every_named_attribute_and_at_least_two() -> None:
    wrong = RED_ON_BLUE | {"position": 0}
    alone = Prompt(labels=RED_ON_BLUE, named=frozenset({"garment"}))
    values = align([Prompt(labels=RED_ON_BLUE), Prompt(labels=RED_ON_BLUE), alone], [RED_ON_BLUE, wrong, RED_ON_BLUE])
    assert values["align/complex"] == 0.5 and values["align/spatial"] == 0.5 and values["align/shape"] == 1


def test_swapped_colours_break_the_binding() -> None:
    swapped = RED_ON_BLUE | {"colour": 5, "background": 0}
    values = align([Prompt(labels=RED_ON_BLUE)], [swapped])
    assert values["align/binding"] == 0 and values["align/swapped"] == 1
    assert values["align/shape"] == values["align/texture"] == 1


def test_seen_and_unseen_are_counted_apart() -> None:
    wrong = RED_ON_BLUE | {"colour": 1}
    prompts = [Prompt(labels=RED_ON_BLUE), Prompt(labels=RED_ON_BLUE), Prompt(labels=RED_ON_BLUE, seen=False)]
    values = align(prompts, [RED_ON_BLUE, wrong, wrong])
    assert values["align/colour/seen"] == 0.5 and values["align/colour/unseen"] == 0
    assert values["align/colour"] == pytest.approx(1 / 3)


def test_prompts_without_labels_are_refused() -> None:
    class Bare:
        caption = "a bag"

    measurement = Measurement([Alignment(TinyJudge())], [Bare()])
    measurement.update(batch(random_images(1, size=32), [Bare()]))
    with pytest.raises(ValueError, match="labelled attributes"):
        measurement.compute()


def test_random_judge_is_at_chance_level() -> None:
    prompts = [Prompt(labels={n: i % len(v) for n, v in VALUES.items()}) for i in range(80)]
    measurement = Measurement([Alignment(TinyJudge())], prompts)
    measurement.update(batch(random_images(80, size=32), prompts))
    assert measurement.compute()["align/colour"] <= 0.3  # noise images all look alike to it: one colour in eight
