"""Files that are either the old one or the new one, whatever dies in between."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from workbench import safe_json
from workbench.study.errors import DiskError, DiskFullError, SweepError

FULL = (errno.ENOSPC, errno.EDQUOT)
LOST = (errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ENODEV)  # the disk or its server is gone


def write_bytes(path: Path, data: bytes, durable: bool = True) -> None:
    """Write by a temporary file in the same folder, fsync, rename, fsync of the folder. DiskFullError for no room.

    durable: off for what is written anew at every start, as a cell's config.yaml: still whole or absent after a kill,
    but not worth two waits for the disk.
    """
    temporary = path.with_name(f".tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if not durable:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        try:
            temporary.unlink()
        except OSError:
            pass  # a folder that takes no file may not let one go either; the name says whose it was
        raise explained(error, path) from error


def explained(error: OSError, path: Path) -> OSError | SweepError:
    """A full disk as DiskFullError with the remedy, a lost one as DiskError; any other error as it is."""
    if error.errno in LOST:
        return DiskError(
            f"{path}: cannot be written any more ({error.strerror}). What is finished is kept; run the same command "
            "again when the disk is back."
        )
    if error.errno in FULL:
        return DiskFullError(
            f"{path}: no room left on the disk. What is finished is kept; free some room and run the same command "
            "again."
        )
    return error


def write_text(path: Path, text: str, durable: bool = True) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, text.encode(), durable)


def write_json(path: Path, value: Any, durable: bool = True) -> None:
    """`write_bytes` of JSON with sorted keys. ValueError for NaN and infinity, which JSON does not know."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", durable)


def read_json(path: Path) -> Any | None:
    """The value, or None where there is no file, no whole one, or one out of bounds (`workbench.safe_json`)."""
    try:
        return safe_json.read_json(path)
    except (OSError, ValueError):
        return None


def check_writable(folder: Path, expected_bytes: int = 0) -> None:
    """Make the folder and write into it, before anything starts. SweepError if that fails or the disk has no room.

    expected_bytes: what the run is expected to write.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".tmp-preflight-") as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            check_locks(file.fileno(), folder)
        status = os.statvfs(folder)
    except OSError as error:
        if error.errno in FULL:
            raise explained(error, folder) from error
        raise SweepError(
            f"The results folder {folder} cannot be written ({error.strerror}). Nothing was started. "
            "Name another one with --results."
        ) from error
    free = status.f_bavail * status.f_frsize
    if free < expected_bytes:
        raise DiskFullError(
            f"{folder}: the sweep is expected to write {expected_bytes / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB "
            "are "
            "free. Nothing was started. Name another folder with --results."
        )


def check_locks(descriptor: int, folder: Path) -> None:
    """SweepError where the file system has no locks: two workers there would run the same cell."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SweepError(
            f"{folder}: its file system has no file locks ({error.strerror}). Nothing was started. Mount it with locks "
            "(Lustre: -o flock; NFS: with lockd), or name another folder with --results."
        ) from error


def is_same(folder: Path, then: os.stat_result) -> bool:
    """Whether this is still the folder that it was; another one may have taken its name."""
    try:
        now = folder.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True  # a file server that does not answer at the moment
    return (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)


def state_of_disk(folder: Path) -> str:
    """Why nothing can be written there, and what to do, in a sentence."""
    try:
        read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
    except OSError as error:
        return f"{folder} cannot be reached ({error.strerror}). Run the same command again when it can."
    if read_only:
        return f"{folder} has become read-only. Run the same command again when it can be written."
    return "No room left on the disk. Free some room and run the same command again."


def tail(path: Path, lines: int = 12, limit: int = 16_384) -> str:
    """The last lines of a log, '' where there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - limit))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.rstrip().splitlines()[-lines:])
