"""Tensors from files that somebody else may have written. No pickle is run, and every fault is one line.

Weights, features and statistics are safetensors. What training continues from is torch's own format, loaded with
weights_only=True: tensors and plain types, and nothing that could be called.
"""

from __future__ import annotations

import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from workbench.files import ReadingError

MAX_MEMBERS = 20_000  # of an archive: a tensor is one, Stable Diffusion XL with an optimiser's state has some 5,000


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """(tensors by name, metadata) of a safetensors file, on the CPU.

    Raises:
        OSError: it is not there or cannot be opened.
        ReadingError: it is no whole safetensors file.
    """
    _check_regular(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except OSError:
        raise
    except Exception as error:  # the reader has an error for each way in which a header can lie
        raise ReadingError(f"{path}: is no whole safetensors file ({_first_line(error)}).") from error


def read_torch(path: Path) -> Any:
    """What torch.save wrote of tensors and plain types, on the CPU; weights_only=True, always.

    Raises:
        OSError: it is not there or cannot be opened.
        ReadingError: it is no whole file of that kind, or holds objects, which would have to be run to be loaded.
    """
    _check_regular(path)
    _check_archive(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's, on pickles of other protocols: the error says what counts
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # UnpicklingError, RuntimeError, EOFError, KeyError, ...: whatever the bytes provoke
        if "weights_only" in str(error) or "Unsupported" in str(error):
            reason = "it holds objects, not tensors alone, and loading them would run them"
        else:
            reason = _first_line(error)
        raise ReadingError(f"{path}: cannot be loaded safely ({reason}).") from error


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """As `read_torch`, for a file that must hold tensors by name. ReadingError for anything else."""
    state = read_torch(path)
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ReadingError(f"{path}: holds something else than tensors by name.")
    return state


def _check_regular(path: Path) -> None:
    if not path.is_file():
        if path.exists():
            raise ReadingError(f"{path}: is no regular file.")
        raise FileNotFoundError(2, "No such file", str(path))


def _check_archive(path: Path) -> None:
    """torch.save stores and never packs: what would unfold to more than the file has is no checkpoint of anybody.

    Nor is a tar, which torch 0.1 wrote and which is unpacked to be read.
    """
    if not zipfile.is_zipfile(path):
        try:
            tarfile.open(path, "r:").close()
        except (tarfile.TarError, EOFError):
            return
        raise ReadingError(f"{path}: is a tar archive. Load and save it again with a present torch.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ReadingError(f"{path}: is no whole archive ({_first_line(error)}).") from error
    if len(members) > MAX_MEMBERS:
        raise ReadingError(f"{path}: has {len(members):,} members; {MAX_MEMBERS:,} are more than any network of ours.")
    size = path.stat().st_size
    if any(m.compress_type != zipfile.ZIP_STORED for m in members) or sum(m.file_size for m in members) > size:
        raise ReadingError(f"{path}: is packed, or says that it unfolds to more than its {size:,} bytes.")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__
