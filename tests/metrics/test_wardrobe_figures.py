"""The shipped judge and CLIP, on real images: do the figures move as they should?"""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.data import Wardrobe, prompts
from workbench.metrics import Batch, Extractor, Frechet, Kernel, Measurement, Reference
from workbench.metrics.alignment import COLUMNS, Alignment
from workbench.metrics.clip_score import ClipScore
from workbench.metrics.extractors import ClipModel, EfficientNetLite0, JudgeExtractor
from workbench.world.judge import JUDGE, load_judge

N = 256


@pytest.fixture(scope="module")
def real() -> Tensor:
    return Wardrobe("test", size=2_000_000).images([r.index for r in prompts("report", N)])


# The judge saw noise of up to 20 grey levels in training and does not mind that much; the other extractor does.
EXTRACTORS = [(JudgeExtractor(), (40, 80)), (EfficientNetLite0(input_size=64), (3, 8))]


def values(metrics: list, images: Tensor) -> dict[str, float]:
    records = prompts("report", N)
    measurement = Measurement(metrics, records)
    measurement.update(Batch(torch.arange(N), images, records))
    return measurement.compute()


def blur(images: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(F.pad(images.float(), [size // 2] * 4, mode="replicate"), size, 1).round().to(torch.uint8)


def noise(images: Tensor, std: float) -> Tensor:
    draw = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    return (images.float() + std * draw).clamp(0, 255).round().to(torch.uint8)


@pytest.mark.parametrize(("extractor", "levels"), EXTRACTORS, ids=lambda x: getattr(x, "name", ""))
def test_distances_grow_with_blur_with_noise_and_with_lost_contrast(
    extractor: Extractor, levels: tuple[float, float], real: Tensor
) -> None:
    reference = Reference(extractor(Wardrobe("test", size=3_000_000).images(range(2_000_000, 2_000_000 + 2 * N))))
    metrics = [Frechet(extractor, reference), Kernel(extractor, reference)]
    dim = (real.float() * 0.5 + 64).round().to(torch.uint8)
    damaged = (real, blur(real, 3), blur(real, 5), noise(real, levels[0]), noise(real, levels[1]), dim)
    figures = [values(metrics, images) for images in damaged]
    for name in (extractor.metric_name("FD"), extractor.metric_name("KD")):
        floor, blur3, blur5, noise1, noise2, dimmed = (f[name] for f in figures)
        assert floor < blur3 < blur5, name
        assert floor < noise1 < noise2, name
        assert floor < dimmed, name


def test_the_judge_is_as_good_as_its_card_says(real: Tensor) -> None:
    card = json.loads((Path(JUDGE) / "config.json").read_text())["test_accuracy"]
    found = values([Alignment(load_judge())], real)
    for attribute, column in COLUMNS.items():
        # Other test images than the card's, and only those whose caption names the attribute: 4 standard errors.
        asked = sum(attribute in r.named for r in prompts("report", N))
        error = (card[attribute] * (1 - card[attribute]) / asked) ** 0.5
        assert found[f"align/{column}"] == pytest.approx(card[attribute], abs=4 * error + 0.02), attribute


def test_alignment_of_the_wrong_images_is_at_chance(real: Tensor) -> None:
    found = values([Alignment(load_judge())], real.roll(1, 0))
    for column, chance in {"shape": 1 / 10, "colour": 1 / 8, "background": 1 / 8, "texture": 1 / 4}.items():
        assert found[f"align/{column}"] == pytest.approx(chance, abs=0.12), column
    assert found["align/complex"] < 0.1


def test_clip_prefers_the_own_caption_and_loses_with_damage(real: Tensor) -> None:
    metrics = [ClipScore(ClipModel())]
    own, damaged = values(metrics, real), values(metrics, noise(real, 60))
    assert own["CLIP[wardrobe]"] > own["CLIP[wardrobe]/shuffled"] + 20
    assert damaged["CLIP[wardrobe]"] < own["CLIP[wardrobe]"]
    floor = values(metrics, real.roll(1, 0))["CLIP[wardrobe]"]
    assert floor == pytest.approx(own["CLIP[wardrobe]/shuffled"], abs=3)  # both pair strangers
