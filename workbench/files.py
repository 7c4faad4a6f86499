"""Files that are whole or absent, and their hashes. Standard library only, so that any room may use it."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it: readers see all of it or the old file.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is then what it was.
    """
    # torch.save names its archive after what stands before the last dot, and refuses an empty name.
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        with disk_errors(path.parent):
            write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # safetensors makes files that only their owner can read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Inside, a writer that has an error of its own for a full disk (torch.save, safetensors) raises OSError instead.

    Raises:
        OSError: ENOSPC, where the folder's disk has no room for another 64 KiB; other errors pass as they are.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        # safetensors writes the system's words into an error of its own
        if os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(folder).free < 1 << 16:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise


def sync_folder(folder: Path) -> None:
    """Make renames in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
