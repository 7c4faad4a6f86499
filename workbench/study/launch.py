"""Starts the child of a cell, watches it, and ends it."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.study.child import EXIT_BUSY, LEASH
from workbench.study.errors import EXIT_DISK
from workbench.study.files import read_json, tail
from workbench.study.heartbeat import last_beat
from workbench.study.lease import RENEW_SECONDS
from workbench.study.prefixed import PREFIX_GRACE
from workbench.study.stacks import dump_stacks
from workbench.study.surroundings import oom_kills

STOP_GRACE = 60.0  # seconds for a child to write its checkpoint after STOP
POLL = 0.25  # seconds between two looks at a running child; its end is noticed at once
_LOST = -1_000  # no exit status of any process


@dataclass(frozen=True)
class Outcome:
    """How a child ended. kind: 'ended', or why there is no result: oom, error, killed, hung, late, stopped, busy,
    lost, disk full, disk."""

    kind: str
    message: str = ""


class Child(ABC):
    """A process group."""

    pid: int

    @abstractmethod
    def poll(self) -> int | None:
        """The exit status of the leader, None while it runs."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Return when the leader has ended, or after so many seconds."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the leash; kills whatever is left of the group."""

    def signal_group(self, number: int) -> None:
        """Send a signal to every process of the group."""
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # gone already

    def dump_stacks(self, log: Path) -> None:
        """Let every process of the group write its stacks into its log."""
        dump_stacks(self.pid, log)

    def signal_leader(self, number: int) -> None:
        """Send a signal to the leader."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass  # gone already


class Launcher(ABC):
    """A way to start children."""

    @abstractmethod
    def start(self, folder: Path, environment: Mapping[str, str]) -> Child:
        """Start the cell's child as the leader of a new process group, with its output in folder/log.txt."""


class ForkLauncher(Launcher):
    """Asks a fork server: for cells of a single process."""

    def __init__(self, address: str) -> None:
        self._address = address

    def start(self, folder: Path, environment: Mapping[str, str]) -> Child:
        """See Launcher. OSError where the server is gone."""
        return _Forked(self._address, folder, environment)


class _Forked(Child):
    def __init__(self, address: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._received = b""
        self._status: int | None = None
        try:
            self._socket.connect(address)
            request = {"folder": str(folder.resolve()), "environment": dict(environment)}
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            self.pid = self._message(None)["pid"]  # waits while the server is still importing
        except (OSError, KeyError, TypeError) as error:
            self._socket.close()
            raise ConnectionError(f"the fork server at {address} does not answer ({error})") from error

    def _message(self, timeout: float | None) -> dict:
        """The next message, {} for none in time, {"exit": _LOST} when the server is gone: its children go with it."""
        while b"\n" not in self._received:
            if not select.select([self._socket], [], [], timeout)[0]:
                return {}
            try:
                data = self._socket.recv(4096)
            except ConnectionResetError:
                data = b""
            if not data:
                return {"exit": _LOST}
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return dict(json.loads(line))

    def poll(self) -> int | None:
        if self._status is None:
            self._status = self._message(0).get("exit")
        return self._status

    def wait(self, seconds: float) -> None:
        if self._status is None:
            self._status = self._message(seconds).get("exit")

    def close(self) -> None:
        self.signal_group(signal.SIGKILL)
        self._socket.close()


class CommandLauncher(Launcher):
    """Starts a fresh interpreter: for cells of several processes, and for a launch prefix."""

    def __init__(self, program: str, prefix: Sequence[str] = ()) -> None:
        holder = [sys.executable, "-m", "workbench.study.prefixed"] if prefix else []
        self._command = [*holder, *prefix, sys.executable, "-m", "workbench.study.child"]
        self._program = program
        self._grace = PREFIX_GRACE + 1 if prefix else 0.0

    def start(self, folder: Path, environment: Mapping[str, str]) -> Child:
        """See Launcher."""
        return _Spawned([*self._command, str(folder.resolve()), self._program], folder, environment, self._grace)


class _Spawned(Child):
    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str], grace: float) -> None:
        self._grace = grace  # seconds from the end of the leash to the end of the group
        end, self._leash = os.pipe()
        try:
            with open(folder / "log.txt", "ab") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**environment, LEASH: str(end)},
                    pass_fds=(end,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._leash)
            raise
        finally:
            os.close(end)
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()

    def wait(self, seconds: float) -> None:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass  # it goes on

    def dump_stacks(self, log: Path) -> None:
        """See Child. A launch prefix (srun) is asked too: it passes the signal on to tasks elsewhere."""
        super().dump_stacks(log)
        if self._grace:
            self.signal_group(signal.SIGUSR1)
            time.sleep(1.0)

    def close(self) -> None:
        os.close(self._leash)
        try:
            self._process.wait(self._grace)
        except subprocess.TimeoutExpired:
            pass  # killed next
        self.signal_group(signal.SIGKILL)
        self._process.wait()


def watch(
    child: Child, folder: Path, renew: Callable[[], None], stop: Callable[[], bool], hours: float | None
) -> Outcome:
    """Wait for the child's end, renewing the lease, and bring it about where that is due.

    A child that stays silent beyond the limit that it set itself is hung: its stacks go into the log and the group is
    killed. STOP asks it to save and end; after 60 s the leader gets SIGTERM, then the group SIGKILL. SIGTERM to the
    whole group would leave ranks waiting for each other. The exit status is never taken for success.
    """
    kills = oom_kills()
    started = time.monotonic()
    started_wall = time.time()
    renewed = stop_asked = 0.0
    try:
        while (status := child.poll()) is None:
            now = time.monotonic()
            if now - renewed >= RENEW_SECONDS:
                renewed = now
                renew()
            if stop() and not stop_asked:
                stop_asked = now
                (folder / "STOP").touch()
            if stop_asked and now - stop_asked > STOP_GRACE:
                child.signal_leader(signal.SIGTERM)
                time.sleep(2)
                return Outcome("stopped", "did not stop when asked, and was killed")
            if hours is not None and now - started > 3600 * hours:
                child.dump_stacks(folder / "log.txt")
                return Outcome("late", f"took longer than run.hours: {hours:g}")
            found = last_beat(folder)
            if found and time.time() - found[1] >= started_wall and found[1] > found[0].limit:
                child.dump_stacks(folder / "log.txt")
                return Outcome("hung", f"silent for {found[1]:.0f} s in phase {found[0].phase}; stacks are in log.txt")
            child.wait(POLL)
    finally:
        child.close()
    return _outcome(status, folder, bool(stop_asked), oom_kills() > kills)


def _outcome(status: int, folder: Path, stop_asked: bool, short_of_memory: bool) -> Outcome:
    attempt = read_json(folder / "attempt.json")
    if isinstance(attempt, dict):
        return Outcome(str(attempt.get("kind")), str(attempt.get("message")))
    if status == EXIT_BUSY:
        return Outcome("busy", "another process holds the cell")
    if status == EXIT_DISK:
        return Outcome("disk full", tail(folder / "log.txt", 1))
    if status == _LOST:
        return Outcome("lost", "the fork server died, and the cell with it")
    if status == 0:
        return Outcome("stopped" if stop_asked else "ended")
    if status == -signal.SIGKILL and short_of_memory:
        return Outcome("oom", "killed by the system (SIGKILL), which had no memory left")
    if status == -signal.SIGKILL:
        return Outcome("killed", "killed by a signal (SIGKILL): by a person, or by a scheduler")
    if status < 0:
        return Outcome("error", f"died of {signal.Signals(-status).name}")
    return Outcome("error", f"exit status {status}: {tail(folder / 'log.txt', 1)}")
