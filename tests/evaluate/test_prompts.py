from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.data import ImageFolder, Wardrobe, prompts
from workbench.evaluation.prompts import evaluation_prompts, real_images, reference_images


def test_the_reference_holds_no_image_of_a_prompt() -> None:
    reference = reference_images(Wardrobe(), 50)
    assert reference is not None
    for half in ("tune", "report"):
        floor, _ = real_images(Wardrobe(), prompts(half, 50))
        assert not {x.numpy().tobytes() for x in floor} & {x.numpy().tobytes() for x in reference}


def test_real_images_are_those_that_the_prompts_describe() -> None:
    records = prompts("report", 5)
    images, same = real_images(Wardrobe(), records)
    assert same is records and images.shape == (5, 3, 32, 32)
    assert torch.equal(images, Wardrobe("test", size=2_000_000).images([r.index for r in records]))


@pytest.fixture
def folder(tmp_path: Path) -> ImageFolder:
    for i in range(7):
        Image.fromarray(np.full((8, 8, 3), 10 * i, np.uint8)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"picture {i}")
    return ImageFolder(str(tmp_path), size=8)


def test_another_source_is_halved(folder: ImageFolder) -> None:
    captions = {h: [r.caption for r in evaluation_prompts(folder, h, 5)] for h in ("tune", "report")}
    assert captions["tune"] == ["picture 0", "picture 2", "picture 4", "picture 6", "picture 0"]
    assert captions["report"] == ["picture 1", "picture 3", "picture 5", "picture 1", "picture 3"]
    reference = reference_images(folder, 100)
    assert reference is not None and reference[:, 0, 0, 0].tolist() == [0, 20, 40, 60]
    floor, records = real_images(folder, evaluation_prompts(folder, "report", 5))
    assert floor[:, 0, 0, 0].tolist() == [10, 30, 50] and records[1].caption == "picture 3"


def test_a_file_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a\nb\n")
    assert [r.caption for r in evaluation_prompts(Wardrobe(), str(tmp_path / "p.txt"), 3)] == ["a", "b", "a"]
    with pytest.raises(ValueError, match="prompts: report with a data source"):
        real_images(Wardrobe(), evaluation_prompts(Wardrobe(), str(tmp_path / "p.txt"), 3))
