"""Files that are whole or absent, read within bounds, and their hashes. Standard library only: for any room."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# As the writers here, in distill.checkpoint and in the study name what is not whole yet, by their process.
_TEMPORARY = re.compile(r"\.tmp-(?:beat-)?(\d+)(?:-[0-9a-f]{8})?(?:\.part)?")


class ReadingError(ValueError):
    """A file that is too large, broken, or says what nobody should say; the message is one line, the place first."""


EXIT_BROKEN = 65  # EX_DATAERR of sysexits.h


class BrokenImages(Exception):
    """Images of a data set that cannot be read, all of them; no ValueError, which would be about a configuration."""


def read_bytes(path: Path, limit: int) -> bytes:
    """All of a regular file of at most `limit` bytes. A pipe or a device, which may never end, is not read.

    Raises:
        OSError: it is not there or cannot be opened.
        ReadingError: it is larger, or no regular file.
    """
    # not opened for waiting: a pipe without a writer would keep us for ever
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            raise ReadingError(f"{path}: is no regular file.")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise ReadingError(f"{path}: {max(status.st_size, limit + 1):,} bytes are too many (at most {limit:,}).")
    return data


def read_text(path: Path, limit: int) -> str:
    """As `read_bytes`, UTF-8."""
    try:
        return read_bytes(path, limit).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ReadingError(f"{path}: is not UTF-8 text.") from error


class OutsideError(ValueError):
    """Something would be written elsewhere than where the user said."""


def refuse_links(folder: Path) -> None:
    """Before a folder is written into: it may not be a symbolic link, nor hold one that leads out of it.

    A folder that is not there yet is fine, and so is a link among those above it: the user named those.

    Raises:
        OutsideError: the link, where it leads, and what to do.
    """
    if folder.is_symlink():
        raise OutsideError(
            f"{folder}: is a symbolic link. Name the folder that it leads to: {os.path.realpath(folder)}."
        )
    root = os.path.realpath(folder)
    for where, folders, names in os.walk(root):  # which does not walk through links
        for name in (*folders, *names):
            path = os.path.join(where, name)
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(root):
                raise OutsideError(
                    f"{path}: is a symbolic link that leads out of {folder}, to {os.path.realpath(path)}. Nothing is "
                    "written through it: remove it."
                )


def as_file_name(text: str) -> str:
    """Any text as a part of a file's name: letters, digits, '_', '+', '-' and '.' stay; at most 60 characters."""
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)[:60]


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


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that killed processes left in the folder and in those directly below: a kill in the
    middle of a checkpoint leaves half of one, every time.

    The folder must be the caller's alone. What a process of this machine that still lives is writing stays.
    """
    for pattern in (".tmp-*", "*/.tmp-*"):
        for file in folder.glob(pattern):
            if (found := _TEMPORARY.fullmatch(file.name)) and not _lives(int(found[1])):
                try:
                    file.unlink()
                except OSError:
                    pass  # a file too many does no harm


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # somebody else's, or no process at all
    return True


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
