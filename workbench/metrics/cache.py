"""Tensors that many evaluations share, kept on disk under the hash of what they were made from."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from workbench.files import write_atomically
from workbench.tensor_files import read_safetensors

Tensors = dict[str, Tensor]


def cache_folder() -> Path:
    """`$WORKBENCH_CACHE`, else ~/.cache/workbench. Deleting it loses time, never results."""
    return Path(os.environ.get("WORKBENCH_CACHE") or Path.home() / ".cache" / "workbench")


def cached(
    kind: str,
    key: Mapping[str, Any],
    make: Callable[[], Tensors],
    folder: Path | None = None,
    layout: Mapping[str, tuple[int, str]] | None = None,
) -> Tensors:
    """The tensors of `make()`, from disk if they were made before from the same key.

    kind: a slug, the beginning of the file's name. key: everything that decides the result, as plain JSON types;
    its hash is the rest of the name and the whole of it stands in the file, so that a file can be asked what it is.
    layout: name -> (dimensions, type) of the tensors, as {"features": (2, "float32")}; a file with others is not used.
    Written to a temporary file and renamed: readers see a whole file or none. Of several processes that want the
    same key one makes it, the others wait. A file that cannot be read, or that holds another key, is made again
    with a warning.
    """
    assert re.fullmatch(r"[a-z0-9-]+", kind), kind
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), allow_nan=False)
    folder = cache_folder() if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:32]}.safetensors"
    with _lock(path.with_suffix(".lock")):
        found = _read(path, text, layout)
        if found is not None:
            return found
        tensors = {name: t.detach().cpu().contiguous() for name, t in make().items()}
        write_atomically(path, lambda temporary: temporary.write_bytes(save(tensors, metadata={"key": text})))
        return tensors


def _layout(tensors: Tensors) -> dict[str, tuple[int, str]]:
    return {name: (t.ndim, str(t.dtype).removeprefix("torch.")) for name, t in tensors.items()}


def _read(path: Path, key: str, layout: Mapping[str, tuple[int, str]] | None) -> Tensors | None:
    if not path.is_file():
        return None
    try:
        tensors, metadata = read_safetensors(path)
        if metadata.get("key") == key and (layout is None or _layout(tensors) == dict(layout)):
            return tensors
        reason = "it holds something else than its name says"
    except (OSError, ValueError) as error:
        reason = str(error)
    warnings.warn(f"{path.name} in the cache is unusable and is made again: {reason}", stacklevel=3)
    return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644), "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by the kernel when the process ends, however it ends
        yield
