"""The child of a worker: one cell, one process group, on a leash.

`python -m workbench.study.child CELL_DIR PROGRAM` runs `PROGRAM.run_cell(CELL_DIR)`; the fork server calls `run` in a
fork of itself. The child knows nothing of the ledger. What it says, it says by files: log.txt, heartbeat, result.json,
and attempt.json where there is no result.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from workbench.cluster import adopt_task, is_further_rank
from workbench.study.allocator import keep_freed_memory
from workbench.study.errors import EXIT_DISK, DiskError, DiskFullError
from workbench.study.files import FULL, LOST, write_json
from workbench.study.heartbeat import beat
from workbench.study.locks import FileLock

EXIT_BUSY = 75  # EX_TEMPFAIL: another process has the cell
STARTUP_LIMIT = 900.0  # seconds until the first beat of the program: imports on a cold disk
BUSY_SECONDS = 15.0
LEASH = "WORKBENCH_LEASH"  # number of the inherited end of the worker's pipe
_PR_SET_PDEATHSIG = 1


def run(folder: Path, program: str, leash: int | None, append_log: bool = True) -> int:
    """Run a cell in this process; returns the exit status. The process must be the leader of its group.

    leash: a file descriptor that reads end-of-file when the worker is gone; the whole group is killed then.
    """
    if append_log:
        log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
    die_with_parent()
    keep_freed_memory()
    if leash is not None:
        threading.Thread(target=_hold, args=(leash,), daemon=True, name="leash").start()
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # the worker asks for it before it kills a hung group
    lock = FileLock(folder / "lock")
    until = time.monotonic() + BUSY_SECONDS  # a child whose worker was killed may take a moment to die
    while not lock.acquire(wait=False):
        if time.monotonic() > until:
            print("Another process holds this cell.", file=sys.stderr, flush=True)
            return EXIT_BUSY
        time.sleep(0.05)
    try:
        beat(folder, "starting", 0.0, STARTUP_LIMIT)
        importlib.import_module(program).run_cell(folder)
        sys.stdout.flush()
        return 0
    except BaseException as error:
        kind, message = classify(error)
        try:
            traceback.print_exc()
            sys.stderr.flush()
            write_json(folder / "attempt.json", {"kind": kind, "message": message})
        except Exception:
            pass  # the log and the note lie on the disk that may be full; the exit status says it then
        return EXIT_DISK if kind in ("disk full", "disk") else 1
    finally:
        lock.release()


def classify(error: BaseException) -> tuple[str, str]:
    """Kind and message of a failure: 'oom', 'disk full', 'disk' (lost or read-only), 'stopped' or 'error'."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__ or current.__context__
    for link in chain:
        text = str(link).lower()
        full = isinstance(link, OSError) and link.errno in FULL
        if full or isinstance(link, DiskFullError) or "no space left on device" in text:
            return "disk full", f"{link}"
        if isinstance(link, DiskError) or (isinstance(link, OSError) and link.errno in LOST):
            return "disk", f"{link}"
        out_of_memory = "out of memory" in text or "can't allocate memory" in text or "cannot allocate memory" in text
        if isinstance(link, MemoryError) or type(link).__name__ == "OutOfMemoryError" or out_of_memory:
            return "oom", f"{type(link).__name__}: {link}"
    if type(error).__name__ == "Stopped":
        return "stopped", str(error)
    return "error", f"{type(error).__name__}: {error}"


def wait_for_end_of_leash(leash: int) -> None:
    """Wait for the worker's end of the leash to be closed, which only its death or its will does."""
    while True:
        try:
            if not os.read(leash, 1):
                break
        except InterruptedError:
            continue
        except OSError:
            break


def _hold(leash: int) -> None:
    wait_for_end_of_leash(leash)
    os.killpg(0, signal.SIGKILL)


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the leash alone does it."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died in between
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Entry point of a child that is a fresh interpreter, and of its further ranks, without leash and lock."""
    folder, program = Path(sys.argv[1]), sys.argv[2]
    adopt_task(os.environ)  # under a launch prefix; from every other child these variables are kept away
    if is_further_rank(os.environ):
        faulthandler.register(signal.SIGUSR1, all_threads=True)
        die_with_parent()
        importlib.import_module(program).run_cell(folder)
        return
    leash = os.environ.pop(LEASH, None)
    sys.exit(run(folder, program, int(leash) if leash else None, append_log=False))


if __name__ == "__main__":
    main()
