"""What killed launching processes leave among the temporary files, and who may remove it."""

import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

from workbench.study.preload import LEFT_SECONDS, PREFIX, remove_left_folders


def folder_with_socket(parent: Path, name: str, age: float) -> tuple[Path, socket.socket]:
    folder = parent / (PREFIX + name)
    folder.mkdir()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()
    os.utime(folder, (time.time() - age, time.time() - age))
    return folder, listener


def test_only_old_sockets_that_nobody_listens_to_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="t") as short:  # a socket's path is short
        monkeypatch.setattr(tempfile, "tempdir", short)
        dead, closed = folder_with_socket(Path(short), "dead", LEFT_SECONDS + 60)
        closed.close()
        young, closed = folder_with_socket(Path(short), "young", 0.0)
        closed.close()
        alive, listener = folder_with_socket(Path(short), "alive", LEFT_SECONDS + 60)
        plain = Path(short) / f"{PREFIX}plain"
        plain.mkdir()
        (plain / "s").write_text("a file of somebody's")
        os.utime(plain, (0, 0))
        with listener:
            remove_left_folders()
        assert not dead.exists()
        assert (young / "s").exists() and (alive / "s").exists() and (plain / "s").exists()
