"""Holds a launch prefix on the leash: `python -m workbench.study.prefixed srun ... COMMAND`.

A prefix knows nothing of our leash, and a descriptor does not travel to another node. srun ends its tasks, wherever
they are, when it gets SIGTERM, and leaves them running when it is killed. So when the worker is gone this process
asks the prefix to end, and only then kills what is left of the group here.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from workbench.study.child import LEASH, wait_for_end_of_leash

PREFIX_GRACE = 5.0  # seconds that a prefix has for ending its tasks


def main() -> None:
    """Run the command; exit with its status. The process must be the leader of its group."""
    leash = int(os.environ.pop(LEASH))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # for the tasks, who answer it with their stacks
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, preexec_fn=_defaults)
    signal.signal(signal.SIGTERM, lambda *_: command.terminate())

    def end() -> None:
        wait_for_end_of_leash(leash)
        command.terminate()
        try:
            command.wait(PREFIX_GRACE)
        except subprocess.TimeoutExpired:
            pass  # it was asked
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end, daemon=True, name="leash").start()
    status = command.wait()
    sys.exit(status if status >= 0 else 128 - status)


def _defaults() -> None:
    """An ignored signal stays ignored through exec."""
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


if __name__ == "__main__":
    main()
