"""Teachers and CLIP models: folders of other people's weights and settings, which two large libraries read for us."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.security.hostile import files
from tests.security.watch import CANARY, watching
from workbench.data import ImageFolder
from workbench.metrics.extractors.clip import WARDROBE_CLIP, ClipModel
from workbench.models import load_process, load_teacher

UNET, CLIP = "unet/diffusion_pytorch_model.safetensors", "model.safetensors"
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"
ASKS: dict[str, tuple[str, Any]] = {  # name -> (file, what is put into it)
    "auto_map": ("unet/config.json", {"auto_map": {"AutoModel": f"{CANARY}.Model"}}),
    "kernel from a hub": ("text_encoder/config.json", {"attn_implementation": "kernels-community/flash-attn"}),
    "nested": ("text_encoder/config.json", {"text_config": {"_attn_implementation": f"{CANARY}/kernel"}}),
    "quantised": ("unet/config.json", {"quantization_config": {"quant_method": "bitsandbytes"}}),
    "quantised vae": ("vae/config.json", {"quantization_config": {"quant_method": CANARY}}),
    "tokenizer's code": ("tokenizer/tokenizer_config.json", {"auto_map": {"AutoTokenizer": [f"{CANARY}.T", None]}}),
    "scheduler's code": ("scheduler/scheduler_config.json", {"custom_pipelines": CANARY}),
    "another model": ("text_encoder/adapter_config.json", {"base_model_name_or_path": CANARY}),
    "shard elsewhere": (INDEX, {"weight_map": {"w": "../../../other.safetensors"}}),
    "shard that is a pickle": (INDEX, {"weight_map": {"w": "evil.bin"}}),
    "shard that is a number": (INDEX, {"weight_map": {"w": 3}}),
    "no weight map": (INDEX, [1]),
    "a pipeline as scheduler": ("scheduler/scheduler_config.json", {"_class_name": "DiffusionPipeline"}),
    "a module as scheduler": ("scheduler/scheduler_config.json", {"_class_name": "utils"}),
    "a model as scheduler": ("scheduler/scheduler_config.json", {"_class_name": "UNet2DConditionModel"}),
    "a dunder as scheduler": ("scheduler/scheduler_config.json", {"_class_name": "__builtins__"}),
    "a list as scheduler": ("scheduler/scheduler_config.json", {"_class_name": ["os", "system"]}),
    "no schedule": ("scheduler/scheduler_config.json", {"num_train_timesteps": -4}),
    "a word for a number": ("scheduler/scheduler_config.json", {"beta_start": "os.system"}),
    "channels of a word": ("unet/config.json", {"block_out_channels": "many"}),
    "blocks from elsewhere": ("unet/config.json", {"down_block_types": [f"{CANARY}.Block"] * 2}),
    "an activation from elsewhere": ("text_encoder/config.json", {"hidden_act": f"{CANARY}.act"}),
    "a guidance of words": ("workbench.json", {"guidance_scale": "os.system"}),
    "a guidance of lists": ("workbench.json", {"guidance_scale": [1]}),
}


def put(folder: Path, name: str, what: Any) -> None:
    file = folder / name
    old = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**old, **what} if isinstance(what, dict) else what))


def one_line(load: Callable[[], Any], root: Path) -> str:
    with watching(root) as seen, pytest.raises(ValueError, match=r".") as caught:
        load()
    seen.check()
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700, message
    return message


@pytest.mark.parametrize("name", ASKS)
def test_a_teacher_that_asks_for_more_than_numbers(name: str, tiny_teacher_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "teacher")
    file, what = ASKS[name]
    put(folder, file, what)
    message = one_line(lambda: load_teacher(folder), tmp_path)
    assert str(folder) in message


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"a": NaN}', '{"a": ' + "9" * 5_000 + "}", "[]", "\udcff"])
def test_a_teachers_json_that_is_none(text: str, tiny_teacher_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "teacher")
    for name in ("scheduler/scheduler_config.json", "unet/config.json", "workbench.json"):
        file = folder / name
        kept = file.read_bytes()
        file.write_bytes(text.encode(errors="surrogateescape"))
        one_line(lambda: load_teacher(folder), tmp_path)
        file.write_bytes(kept)
    file = folder / "scheduler" / "scheduler_config.json"
    file.write_bytes(text.encode(errors="surrogateescape"))
    one_line(lambda: load_process(folder), tmp_path)


def test_weights_of_a_teacher_and_of_a_clip(tiny_teacher_path: Path, tmp_path: Path) -> None:
    """Every hostile file in place of the weights; and pickled weights alone are not opened at all."""
    teacher = shutil.copytree(tiny_teacher_path, tmp_path / "teacher")
    clip = shutil.copytree(WARDROBE_CLIP, tmp_path / "clip")
    for data in files(tmp_path / "marker").values():
        for folder, name, load in ((teacher, UNET, load_teacher), (clip, CLIP, ClipModel)):
            (folder / name).write_bytes(data)
            one_line(lambda load=load, folder=folder: load(str(folder)), tmp_path)  # type: ignore[misc]
    (teacher / UNET).rename(teacher / "unet" / "diffusion_pytorch_model.bin")
    assert "Pickled weights are not opened" in one_line(lambda: load_teacher(teacher), tmp_path)
    (clip / CLIP).rename(clip / "pytorch_model.bin")
    assert "no CLIPModel" in one_line(lambda: ClipModel(str(clip)), tmp_path)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("config.json", {"auto_map": {"AutoModel": f"{CANARY}.Model"}}),
        ("config.json", {"vision_config": {"attn_implementation": f"{CANARY}/kernel"}}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": [f"{CANARY}.T", None]}}),
        ("tokenizer_config.json", {"tokenizer_class": f"{CANARY}.Tokenizer"}),
        ("adapter_config.json", {"base_model_name_or_path": "elsewhere"}),
        ("preprocessor_config.json", {"image_mean": "abc"}),
        ("preprocessor_config.json", {"image_std": [1, 2]}),
    ],
)
def test_a_clip_that_asks_for_more_than_numbers(file: str, what: Any, tmp_path: Path) -> None:
    """The words of a tokenizer may be anything: what it may not do is bring code."""
    folder = shutil.copytree(WARDROBE_CLIP, tmp_path / "clip")
    (folder / f"{CANARY}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'w')")
    put(folder, file, what)
    if "tokenizer_class" in what:
        with watching(tmp_path) as seen:
            ClipModel(str(folder))
        seen.check()
    else:
        one_line(lambda: ClipModel(str(folder)), tmp_path)
    assert not (tmp_path / "marker").exists()


def test_a_settled_attention_is_no_code(tiny_teacher_path: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_teacher_path, tmp_path / "teacher")
    put(folder, "text_encoder/config.json", {"attn_implementation": "eager", "quantization_config": None})
    assert load_teacher(folder).latent_shape == (4, 8, 8)


def test_images_that_are_programs_or_bombs(tmp_path: Path) -> None:
    """Pillow opens what a file is, not what it is called: PostScript would start Ghostscript."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file\nshowpage\n")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 40)
    (tmp_path / "c.png").write_bytes(_png_header(30_000, 30_000))
    (tmp_path / "d.png").write_bytes(b"GIF89a" + b"\0" * 40)
    source = ImageFolder(str(tmp_path), size=8)
    for index, name in enumerate("abcd"):
        assert f"{name}.png: not a readable image" in one_line(lambda i=index: source.images([i]), tmp_path)  # type: ignore[misc]


def _png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and stops."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))


@pytest.mark.parametrize("line", ["[" * 100_000, "3", '{"file_name": 3, "text": "x"}', '{"file_name": "a.png"}', "{"])
def test_captions_that_are_none(line: str, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(line)
    assert "metadata.jsonl, line 1" in one_line(lambda: ImageFolder(str(tmp_path), size=8).captions([0]), tmp_path)


def test_sound_folders_still_load(tiny_teacher_path: Path, tmp_path: Path) -> None:
    assert load_teacher(tiny_teacher_path).process.num_train_timesteps == 1000
    assert ClipModel(str(WARDROBE_CLIP)).dim == ClipModel().dim
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
