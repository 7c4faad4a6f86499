"""Captions and images from a user's own files."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image

from workbench.data import ImageFolder, PromptFile


def test_a_prompt_file_gives_its_lines(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("# comment\na red dress\n\nein grüner Hut\n", encoding="utf-8")
    source = PromptFile(str(file))
    assert len(source) == 2 and source.captions([1, 0]) == ["ein grüner Hut", "a red dress"]
    assert not source.has_images
    with pytest.raises(ValueError, match="captions only"):
        source.images([0])


def test_a_prompt_file_without_prompts_is_refused(tmp_path):
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(ValueError, match="holds no prompt"):
        PromptFile(str(tmp_path / "empty.txt"))
    with pytest.raises(ValueError, match="no such file"):
        PromptFile(str(tmp_path / "missing.txt"))


def test_an_image_folder_crops_resizes_and_reads_both_kinds_of_captions(tmp_path):
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("red\n")
    Image.new("RGB", (20, 40), (0, 255, 0)).save(tmp_path / "b.jpg")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "b.jpg", "text": "green"}) + "\n")
    source = ImageFolder(str(tmp_path), size=16)
    assert source.captions([0, 1]) == ["red", "green"]
    images = source.images([0])
    assert images.shape == (1, 3, 16, 16) and images.dtype == torch.uint8
    assert (images[0] == torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None]).all()


def test_a_broken_image_and_a_missing_caption_are_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"not an image")
    source = ImageFolder(str(tmp_path), size=16)
    with pytest.raises(ValueError, match=r"broken\.png: not a readable image"):
        source.images([0])
    with pytest.raises(ValueError, match=r"broken\.png: no caption"):
        source.captions([0])
