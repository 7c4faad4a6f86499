"""The fork server of a launching process: started, started again when it dies, and ended."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from workbench.study.errors import SweepError
from workbench.study.files import tail
from workbench.study.surroundings import child_environment

RESTARTS = 3  # afterwards every cell starts a fresh interpreter
PREFIX = "workbench-"
LEFT_SECONDS = 3600.0  # a folder that is younger may be one whose server is just about to listen


class Preload:
    """A process with everything imported, which forks a child for each cell. See forkserver."""

    def __init__(self, program: str, log: Path) -> None:
        self._program, self._log = program, log
        remove_left_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))  # a socket's path has 100 characters at most
        self.address = self._folder / "s"
        self._process: subprocess.Popen | None = None
        self._restarts = 0

    def start(self) -> None:
        """Start it, and wait until its socket is there; its imports go on meanwhile. SweepError if it does not."""
        self._process = self._spawn()
        for _ in range(600):
            if self.address.exists():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise SweepError(f"The fork server did not start. Its log {self._log} ends with:\n{tail(self._log)}")

    def tend(self) -> str:
        """What happened to it, in a sentence; '' for nothing. Its children died with it, and their cells come back."""
        if self._process is None or self._process.poll() is None:
            return ""
        self.address.unlink(missing_ok=True)  # meanwhile, cells start fresh interpreters
        code, self._process = self._process.returncode, None
        self._restarts += 1
        if self._restarts > RESTARTS:
            return f"The fork server died again ({code}); from here on every cell starts a fresh interpreter."
        self._process = self._spawn()
        return f"The fork server died ({code}); its cells go back into the queue, and another one starts."

    def close(self) -> None:
        """End it and its children."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # its sign to leave
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spawn(self) -> subprocess.Popen:
        with open(self._log, "ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "workbench.study.forkserver", str(self.address), self._program],
                stdin=subprocess.PIPE, stdout=output, stderr=output,
                env=child_environment(os.environ), start_new_session=True,
            )  # fmt: skip


def remove_left_folders() -> None:
    """Remove the sockets that killed launching processes of this user have left among the temporary files."""
    for address in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/s"):
        try:
            folder = address.parent.lstat()
            mine = folder.st_uid == os.getuid() and time.time() - folder.st_mtime > LEFT_SECONDS
            if mine and address.is_socket() and not _answers(address):
                address.unlink()
                address.parent.rmdir()
        except OSError:
            pass  # somebody else's, or gone meanwhile


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(address))
        except ConnectionRefusedError:  # nobody has it open any more
            return False
    return True
