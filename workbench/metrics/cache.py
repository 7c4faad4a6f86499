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

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from workbench.files import write_atomically

Tensors = dict[str, Tensor]


def cache_folder() -> Path:
    """`$WORKBENCH_CACHE`, else ~/.cache/workbench. Deleting it loses time, never results."""
    return Path(os.environ.get("WORKBENCH_CACHE") or Path.home() / ".cache" / "workbench")


def cached(kind: str, key: Mapping[str, Any], make: Callable[[], Tensors], folder: Path | None = None) -> Tensors:
    """The tensors of `make()`, from disk if they were made before from the same key.

    kind: a slug, the beginning of the file's name. key: everything that decides the result, as plain JSON types;
    its hash is the rest of the name and the whole of it stands in the file, so that a file can be asked what it is.
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
        found = _read(path, text)
        if found is not None:
            return found
        tensors = {name: t.detach().cpu().contiguous() for name, t in make().items()}
        write_atomically(path, lambda temporary: temporary.write_bytes(save(tensors, metadata={"key": text})))
        return tensors


def _read(path: Path, key: str) -> Tensors | None:
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("key") == key:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        reason = "it holds something else than its name says"
    except (SafetensorError, OSError, ValueError) as error:
        reason = str(error)
    warnings.warn(f"{path.name} in the cache is unusable and is made again: {reason}", stacklevel=3)
    return None


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released by the kernel when the process ends, however it ends
        yield
