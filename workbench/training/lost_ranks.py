"""Ends a training at once when one of its processes was killed, instead of when somebody comes to miss it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

LOOK_SECONDS = 0.2
PATIENCE = 1.0  # seconds after an error here in which a rank's death may still become known


@contextmanager
def ends_with_its_ranks(ranks: Callable[[], Sequence[subprocess.Popen]]) -> Iterator[None]:
    """Inside, the death of a further rank by a signal ends this process, the first rank, with all others.

    Otherwise the others learn of it by an error in their next collective, with pages of traceback and seconds of
    cleaning up; and before the ranks have met only Lightning looks, every five seconds. A killed rank kills: whoever
    looks at the status of this process then sees what happened to the other. A rank that ends by itself, whatever its
    status, has said why, and this one will say the same.

    ranks: the processes that this one has started so far.
    """
    over = threading.Event()
    thread = threading.Thread(target=_look, args=(ranks, over), daemon=True, name="lost ranks")
    thread.start()
    try:
        yield
    except RuntimeError:  # perhaps a collective that misses a rank: its connections end before it does
        if ranks():
            thread.join(PATIENCE)
        raise
    finally:
        over.set()


def _look(ranks: Callable[[], Sequence[subprocess.Popen]], over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        for rank in ranks():
            status = rank.poll()
            if status is not None and status < 0 and not over.is_set():
                _end(-status, rank.pid, ranks())


def _end(number: int, pid: int, ranks: Sequence[subprocess.Popen]) -> None:
    """Like this rank, so all."""
    for rank in ranks:
        rank.kill()
    try:
        print(f"Rank process {pid} died of {signal.Signals(number).name}; the training ends here.", file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        pass  # the disk may be full, which is no reason to stay
    if number == signal.SIGKILL:
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(128 + number)
