"""Locks that die with their holder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine


class FileLock:
    """An flock on a file of its own: released by the kernel when the process ends, however it ends.

    Not re-entrant, and not to be confused with Optuna's locks, which leave a file behind that a later process has to
    call stale.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self, wait: bool = True, shared: bool = False) -> bool:
        """Take the lock; False if somebody has it and `wait` is off."""
        assert self._fd is None, f"{self._path} is already held here"
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Let go."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> FileLock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class DatabaseLock:
    """An advisory lock of PostgreSQL: held by a connection, and released when that ends, however it ends.

    It holds between nodes whatever the file system of the results does. Not re-entrant.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        self._connection: Connection | None = None

    def __enter__(self) -> DatabaseLock:
        self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._ask("SELECT pg_advisory_lock(:key)")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._connection is not None
        try:
            self._ask("SELECT pg_advisory_unlock(:key)")
        except Exception:
            self._connection.invalidate()  # a broken connection holds no lock
            raise
        finally:
            self._connection.close()

    def _ask(self, statement: str) -> None:
        from sqlalchemy import text

        assert self._connection is not None
        self._connection.execute(text(statement), {"key": self._key})


class JournalLock:
    """The lock of an Optuna journal that heals it: whoever takes it first cuts the file back to its last whole line.

    A writer that was killed, or had no room, leaves half a record behind. Optuna would append the next record to it and
    never read the study again. Optuna's JournalFileBackend asks for `acquire` and `release`, no more.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._lock = FileLock(journal.with_name(journal.name + ".lock"))

    def acquire(self) -> bool:
        """Wait for the lock, then heal."""
        self._lock.acquire()
        try:
            self._heal()
        except BaseException:
            self._lock.release()
            raise
        return True

    def release(self) -> None:
        """Let go."""
        self._lock.release()

    def _heal(self) -> None:
        if not self._journal.exists():
            return
        with open(self._journal, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            whole = size
            while whole:
                start = max(0, whole - 65_536)
                file.seek(start)
                newline = file.read(whole - start).rfind(b"\n")
                if newline >= 0:
                    whole = start + newline + 1
                    break
                whole = start
            if whole < size:
                warnings.warn(
                    f"{self._journal}: its last record was cut off ({size - whole} bytes); dropped.", stacklevel=2
                )
                file.truncate(whole)
                os.fsync(file.fileno())
