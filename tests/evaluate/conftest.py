"""A run folder around the tiny teacher, with a tiny judge and a tiny CLIP in place of the shipped ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.metrics.fakes import TinyJudge
from tests.tiny import _tokenizer
from workbench.config import dump, resolve, training_part
from workbench.models import FullStudent, Teacher, trainable_state


@pytest.fixture(scope="session")
def tiny_clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIPModel of 32 px with its tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer = _tokenizer()
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vision = shape | {"image_size": 32, "patch_size": 8}
        model = CLIPModel(CLIPConfig(text_config=shape | text, vision_config=vision, projection_dim=8))
    folder = tmp_path_factory.mktemp("clip") / "tiny-clip"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _tiny_models(
    monkeypatch: pytest.MonkeyPatch, tiny_clip_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    use_tiny_models(monkeypatch, tiny_clip_path)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def use_tiny_models(monkeypatch: pytest.MonkeyPatch, clip: Path) -> None:
    """The tiny judge and CLIP instead of workbench/assets."""
    judge = TinyJudge()
    monkeypatch.setattr("workbench.world.judge.load_judge", lambda: judge)
    monkeypatch.setattr("workbench.metrics.extractors.clip.WARDROBE_CLIP", clip)


def tiny_config(teacher: Path, **evaluation: Any) -> dict[str, Any]:
    """A resolved config with few images and few steps. Keys of `evaluation` may be any of EvaluationConfig."""
    config = resolve({}, {"teacher.path": str(teacher), "train.accelerator": "cpu"})
    few = {"num_images": 12, "batch_size": 5, "num_reference": 40, "teacher_steps": 4}
    config["evaluation"] |= few | {"diversity_prompts": 2, "diversity_images": 3} | evaluation
    return config


@pytest.fixture
def run_dir(tiny_teacher: Teacher, tiny_teacher_path: Path, tmp_path: Path) -> Path:
    """A student a little away from its teacher."""
    folder = tmp_path / "run"
    folder.mkdir()
    state = trainable_state(FullStudent().make(tiny_teacher))
    generator = torch.Generator().manual_seed(1)
    save_file(
        {name: t + 0.02 * torch.randn(t.shape, generator=generator) for name, t in state.items()},
        folder / "student.safetensors",
    )
    dump(training_part(tiny_config(tiny_teacher_path)), folder / "config.yaml")
    return folder
