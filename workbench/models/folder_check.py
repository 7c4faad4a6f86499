"""What a folder of weights may say before diffusers or transformers are let near it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from workbench.files import ReadingError
from workbench.safe_json import read_json

CONFIGS = ("config.json", "tokenizer_config.json", "preprocessor_config.json", "scheduler_config.json")
# Settings that make the libraries import a folder's own code, fetch a kernel, or load another folder instead.
CODE = ("auto_map", "custom_pipelines", "trust_remote_code", "quantization_config", "kernel_config")
ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
BUILT_IN = (None, "eager", "sdpa")  # of attention; any other word may be fetched from a hub


def check_model_folder(folder: Path) -> None:
    """Refuse a part (unet/, a CLIP's folder, ...) that asks for code, for another model, or for pickled weights.

    Raises:
        ReadingError: the file, what it asks for, and what to do.
    """
    adapter = folder / "adapter_config.json"
    if adapter.exists():
        raise ReadingError(f"{adapter}: leads to other weights. Merge the adapter into the model, and remove it.")
    for file in (folder / name for name in CONFIGS):
        if file.is_file():
            _check_settings(read_json(file, limit=16_000_000), file)
    for file in folder.glob("*.index.json"):
        _check_index(read_json(file), file)


def _check_settings(value: Any, file: Path) -> None:
    if isinstance(value, list):
        for child in value:
            _check_settings(child, file)
    elif isinstance(value, dict):
        for key, child in value.items():
            # a list or mapping where a word belongs is left to whoever reads it
            foreign = key in ATTENTION and not (child is None or child in BUILT_IN)
            if foreign or (key in CODE and child):
                raise ReadingError(
                    f"{file}: {key} asks for code that is not part of diffusers and transformers. It is never run "
                    "here: remove the entry."
                )
            _check_settings(child, file)


def _check_index(value: Any, file: Path) -> None:
    """The files that a sharded model consists of lie beside its index, and are safetensors."""
    shards = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(shards, dict):
        raise ReadingError(f"{file}: holds no weight_map.")
    if not file.name.endswith(".safetensors.index.json"):
        return  # of pickled weights, which nobody here opens
    for shard in shards.values():
        if not isinstance(shard, str) or PurePosixPath(shard).name != shard or not shard.endswith(".safetensors"):
            raise ReadingError(f"{file}: names {str(shard)[:100]!r}, which is no .safetensors file beside it.")
