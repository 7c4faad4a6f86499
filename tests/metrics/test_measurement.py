import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.metrics.fakes import PixelMeans, Prompt, TinyJudge, random_images
from workbench.metrics import (
    Alignment,
    Appearance,
    Batch,
    Coverage,
    Diversity,
    Frechet,
    Kernel,
    Measurement,
    Metric,
    Reference,
    TeacherDistance,
)
from workbench.metrics.extractors.judge import JudgeExtractor

N = 47  # a prime: no number of ranks and no batch size divides it


def metrics() -> tuple[list[Metric], JudgeExtractor]:
    judge = TinyJudge()
    extractor = JudgeExtractor(judge)
    reference = Reference(extractor(random_images(60, seed=9, size=32)))
    return [
        Frechet(extractor, reference),
        Kernel(extractor, reference),
        Coverage(extractor, reference),
        Diversity(extractor),
        Alignment(judge),
        Appearance(),
        TeacherDistance(extractor),
    ], extractor


def data() -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
    prompts = [Prompt(f"prompt {i % 10}", seen=i % 4 != 0) for i in range(N)]
    return random_images(N, seed=1, size=32), random_images(N, seed=2, size=32), prompts


def measure(rank: int = 0, world: int = 1, batch_size: int = 10, backwards: bool = False) -> dict[str, float]:
    images, paired, prompts = data()
    measurement = Measurement(metrics()[0], prompts)
    mine = torch.arange(rank, N, world)
    for index in (mine.flip(0) if backwards else mine).split(batch_size):
        measurement.update(Batch(index, images[index], [prompts[i] for i in index.tolist()], paired[index]))
    return measurement.compute()


def test_batch_size_and_order_change_no_bit() -> None:
    expected = measure()
    assert measure(batch_size=1) == expected
    assert measure(batch_size=N, backwards=True) == expected
    assert len(expected) > 30


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_change_no_bit(world: int, tmp_path: Path) -> None:
    # Real processes and gloo; 47 images do not divide. Each rank must return the whole, not its share.
    code = (
        "import sys, json, torch, torch.distributed as dist\n"
        "from tests.metrics.test_measurement import measure\n"
        "rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]\n"
        "dist.init_process_group('gloo', init_method=f'file://{folder}/rendezvous', rank=rank, world_size=world)\n"
        "values = measure(rank, world)\n"
        "open(f'{folder}/{rank}.json', 'w').write(json.dumps(values))\n"
        "dist.destroy_process_group()\n"
    )
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", code, str(r), str(world), str(tmp_path)], env=env) for r in range(world)
    ]
    assert [p.wait(timeout=100) for p in ranks] == [0] * world
    expected = measure()
    for rank in range(world):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == expected


def test_an_extractor_sees_each_image_once_for_all_its_metrics() -> None:
    images, _, prompts = data()
    extractor = PixelMeans(batch_size=1)
    reference = Reference(torch.rand(60, 12))
    measurement = Measurement([Frechet(extractor, reference), Kernel(extractor, reference)], prompts)
    measurement.update(Batch(torch.arange(N), images, prompts))
    assert extractor.images_seen == N


def test_a_missing_and_a_repeated_image_are_errors() -> None:
    images, _, prompts = data()
    index = torch.arange(N - 1)
    measurement = Measurement([Appearance()], prompts)
    measurement.update(Batch(index, images[index], prompts[:-1]))
    with pytest.raises(ValueError, match="image 46, the first, was measured 0 times"):
        measurement.compute()
    again = Measurement([Appearance()], prompts)
    again.update(Batch(torch.arange(N), images, prompts))
    again.update(Batch(torch.tensor([3]), images[3:4], prompts[3:4]))
    with pytest.raises(ValueError, match="image 3, the first, was measured 2 times"):
        again.compute()


def test_an_index_out_of_range_is_refused() -> None:
    images, _, prompts = data()
    with pytest.raises(ValueError, match=r"range 47 \.\. 47"):
        Measurement([Appearance()], prompts).update(Batch(torch.tensor([N]), images[:1], prompts[:1]))


def test_nan_names_the_quantity_and_the_image() -> None:
    class Broken(PixelMeans):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images) / (images.float().mean((1, 2, 3)) != 7)[:, None]

    images, _, prompts = data()
    images[11] = 7
    measurement = Measurement([Diversity(Broken())], prompts)
    with pytest.raises(ValueError, match=r"means.* is NaN or infinite for 1 images, the first is image 11"):
        measurement.update(Batch(torch.arange(N), images, prompts))


@pytest.mark.parametrize(("n", "need"), [(0, "got 0"), (1, "got 1")])
def test_tiny_evaluations_say_how_many_images_they_need(n: int, need: str) -> None:
    images, _, prompts = data()
    measurement = Measurement([Frechet(PixelMeans(), Reference(torch.rand(60, 12)))], prompts[:n])
    measurement.update(Batch(torch.arange(n), images[:n], prompts[:n]))
    with pytest.raises(ValueError, match=f"at least 2 images, but {need}"):
        measurement.compute()


def test_a_batch_of_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="Use to_uint8"):
        Batch(torch.tensor([0]), torch.rand(1, 3, 4, 4), [Prompt()])
