"""Locks whose holder is killed, and file systems that have none."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.reliability.counts import count
from tests.study.fakes import plan_of, sweep
from workbench.study.conductor import Conductor, Request
from workbench.study.errors import SweepError
from workbench.study.files import check_writable
from workbench.study.ledger import open_storage
from workbench.study.locks import DatabaseLock, JournalLock
from workbench.study.surroundings import file_system

HOLD_JOURNAL = """
import sys, time
from pathlib import Path
from workbench.study.locks import JournalLock
journal = Path(sys.argv[1])
assert JournalLock(journal).acquire()
with open(journal, "ab") as file:
    file.write(b'{"half": ')
    file.flush()
    print("held", flush=True)
    time.sleep(60)
"""

HOLD_DATABASE = """
import sys, time
from pathlib import Path
from workbench.study.ledger import open_storage
from workbench.study.locks import DatabaseLock
with DatabaseLock(open_storage(sys.argv[1], Path(".")).engine, "x"):
    print("held", flush=True)
    time.sleep(60)
"""


def kill_holder(code: str, argument: str) -> None:
    """Start a process that takes the lock, and kill it while it holds it."""
    holder = subprocess.Popen([sys.executable, "-c", code, argument], stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()


def test_a_killed_writer_of_the_journal_holds_up_nobody(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_bytes(b"{}\n")
    for _ in range(count("STALE_LOCKS", 20)):
        kill_holder(HOLD_JOURNAL, str(journal))
        lock = JournalLock(journal)
        start = time.monotonic()
        with pytest.warns(UserWarning, match="cut off") as caught:
            assert lock.acquire()
        assert time.monotonic() - start < 1 and len(caught) == 1
        lock.release()
        assert journal.read_bytes() == b"{}\n"


@pytest.mark.parametrize("kills", [1, pytest.param(count("STALE_LOCKS", 20), marks=pytest.mark.slow, id="many")])
def test_a_killed_holder_of_the_database_s_lock_holds_up_nobody(server: str, tmp_path: Path, kills: int) -> None:
    lock = DatabaseLock(open_storage(server, tmp_path).engine, "x")  # type: ignore[attr-defined]
    waits = []
    for _ in range(kills):
        kill_holder(HOLD_DATABASE, server)
        start = time.monotonic()
        with lock:
            waits.append(time.monotonic() - start)
    print(f"killed holders: {kills}, longest wait {max(waits):.3f} s")
    assert max(waits) < 1


def test_a_file_system_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 0:1 / / rw - ext4 /dev/a rw\n"
        "2 1 0:2 / /data rw,relatime shared:1 - nfs4 server:/data rw\n"
        "3 1 0:3 / /data/my\\040disk rw - tmpfs tmpfs rw\n"
    )
    for path, kind in (("/", "ext4"), ("/data/x/y", "nfs4"), ("/data/my disk/x", "tmpfs"), ("/database", "ext4")):
        assert file_system(Path(path), mounts) == kind
    assert file_system(tmp_path, tmp_path / "none") == ""
    assert file_system(Path("/proc/self")) == "proc"


def test_sqlite_on_a_file_server_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.study import conductor

    monkeypatch.setattr(conductor, "file_system", lambda path: "nfs4")
    request = Request(tmp_path / "results", storage=f"sqlite:///{tmp_path}/study.db")
    with pytest.raises(SweepError, match="lies on nfs4, where SQLite's locks do not hold"):
        Conductor(plan_of(tmp_path, sweep()), request).run()
    assert not (tmp_path / "results").exists()


def test_a_file_system_without_locks_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(SweepError, match=r"no file locks .*Nothing was started.*--results"):
        check_writable(tmp_path)
