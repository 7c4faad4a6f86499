"""A process that has imported everything, and forks a child for each cell: 0.1 s instead of ten.

`python -m workbench.study.forkserver SOCKET PROGRAM` imports PROGRAM, calls its prepare() if it has one, and serves. A
worker connects and sends one line of JSON, {"folder": ..., "environment": {...}}; it gets {"pid": n}, and {"exit":
status} at the end. The connection is the child's leash: when the worker dies it is closed, and the child kills its
group. multiprocessing's fork server has no such leash, its children outlive a killed worker. One thread, and CUDA is
never touched here: forks of it would be broken.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from pathlib import Path

from workbench.study.child import die_with_parent, run


def main() -> None:
    """Serve until the parent dies or closes standard input."""
    address, program = sys.argv[1:3]
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launcher's to handle
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)  # workers may come while the imports last
    try:
        module = importlib.import_module(program)
        if prepare := getattr(module, "prepare", None):
            prepare()
    except Exception:  # the child meets it again and writes it into the cell's log, where somebody looks
        traceback.print_exc()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page
    _Server(listener, program).serve()


class _Server:
    """Accepts workers, forks children, reports their ends."""

    def __init__(self, listener: socket.socket, program: str) -> None:
        self._listener = listener
        self._program = program
        self._workers: dict[int, socket.socket] = {}  # pid of the child -> connection of its worker
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)

    def serve(self) -> None:
        """Until end-of-file on standard input."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write)
        with selectors.DefaultSelector() as selector:
            for source in (self._listener.fileno(), self._wake_read, 0):
                selector.register(source, selectors.EVENT_READ)
            while True:
                ready = {key.fd for key, _ in selector.select()}
                if self._wake_read in ready:
                    os.read(self._wake_read, 4096)
                    self._reap()
                if self._listener.fileno() in ready:
                    self._accept()
                if 0 in ready and not os.read(0, 1):
                    return  # children die with this process, their parent

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        try:
            connection.settimeout(10)
            with connection.makefile("rb") as lines:
                request = json.loads(lines.readline(1_000_000))
        except (OSError, ValueError):
            connection.close()  # a worker that died before it had asked
            return
        connection.settimeout(None)
        pid = os.fork()
        if pid == 0:
            self._become_child(connection, request)
        self._workers[pid] = connection
        self._send(connection, {"pid": pid})

    def _become_child(self, connection: socket.socket, request: dict) -> None:
        status = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            self._listener.close()
            for other in self._workers.values():  # or this child would hold another child's leash
                other.close()
            os.close(self._wake_read)
            os.close(self._wake_write)
            empty = os.open(os.devnull, os.O_RDONLY)
            os.dup2(empty, 0)
            os.environ.clear()
            os.environ.update(request["environment"])
            gc.unfreeze()
            status = run(Path(request["folder"]), self._program, connection.fileno())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)  # the server's own exit handlers are not the child's

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if connection := self._workers.pop(pid, None):
                self._send(connection, {"exit": os.waitstatus_to_exitcode(status)})
                connection.close()

    @staticmethod
    def _send(connection: socket.socket, message: dict) -> None:
        try:
            connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            pass  # the worker is gone, and so will be its child


if __name__ == "__main__":
    main()
