"""An audit hook that sees what hostile input would be for: running, importing, connecting, writing elsewhere."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CANARY = "workbench_canary"  # hostile files call, import and name this
OURS = tuple(  # where what may be imported lies: Python, what is installed, and the project
    os.path.realpath(folder) + os.sep
    for folder in (*sysconfig.get_paths().values(), sys.base_prefix, str(Path(__file__).resolve().parents[2]))
)
ASKED = {"antigravity", "this", "webbrowser"}  # of the standard library, and imported by hostile files alone
RUNS = {"os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "os.fork", "os.forkpty", "pty.spawn"}
PROGRAMS = {"git", "nvidia-smi"}  # asked for provenance, by us
WRITES = {"os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.truncate", "os.chmod"}
SOCKETS = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}


@dataclass
class Seen:
    """What happened inside `watching`."""

    roots: tuple[str, ...]
    ran: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)  # outside of the roots
    reached: list[str] = field(default_factory=list)

    def check(self) -> None:
        assert self.ran == [], self.ran
        assert self.wrote == [], self.wrote
        assert self.reached == [], self.reached


_seen: Seen | None = None
_installed = False


@contextmanager
def watching(*roots: Path) -> Iterator[Seen]:
    """Record what runs, is imported by the canary's name or from elsewhere, connects, or is written outside of
    `roots`."""
    global _installed, _seen
    if not _installed:
        sys.addaudithook(_hook)  # for ever; it looks only inside this context
        _installed = True
    before = set(sys.modules)
    _seen = seen = Seen(tuple(os.path.realpath(root) for root in roots))
    try:
        yield seen
    finally:
        _seen = None
        seen.ran += [f"import {name}" for name in sorted(set(sys.modules) - before) if _foreign(name)]


def _foreign(name: str) -> bool:
    """Whether this module is from somewhere else than what is installed and the project, whatever it is called."""
    file = getattr(sys.modules[name], "__file__", None)
    # A relative name is none of the import system's: torch.ops says "_ops.py" of itself.
    is_elsewhere = file is not None and os.path.isabs(file) and not os.path.realpath(file).startswith(OURS)
    return name in ASKED or is_elsewhere


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    global _seen
    if _seen is None:
        return
    seen, _seen = _seen, None  # what is called here is not looked at
    try:
        _note(seen, event, arguments)
    finally:
        _seen = seen


def _note(seen: Seen, event: str, arguments: Sequence[Any]) -> None:
    if event in RUNS or event.startswith("pickle."):
        seen.ran.append(f"{event} {arguments!r}"[:300])
    elif event == "subprocess.Popen":
        if os.path.basename(os.fspath(arguments[0])) not in PROGRAMS:
            seen.ran.append(f"{event} {arguments[1]!r}"[:300])
    elif event == "import":
        if CANARY in str(arguments[0]):
            seen.ran.append(f"import {arguments[0]}")
    elif event == "compile":
        if CANARY in str(arguments[0]):
            seen.ran.append(f"compile {arguments[0]!r}"[:300])
    elif event in SOCKETS:
        address = arguments[1] if event in ("socket.connect", "socket.bind", "socket.sendto") else arguments[0]
        local = isinstance(address, str | bytes) and event.endswith(("connect", "bind", "sendto"))  # a file's name
        looked = event == "socket.bind" and address[0] in ("::1", "127.0.0.1")  # whether there is IPv6
        if not local and not looked:
            seen.reached.append(f"{event} {address!r}")
    elif event == "open":
        path, _, flags = arguments
        if isinstance(path, str | bytes) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            _written(seen, event, path)
    elif event in WRITES:
        for path in arguments[:2] if event in ("os.rename", "os.link", "os.symlink") else arguments[:1]:
            if isinstance(path, str | bytes) and not (event == "os.mkdir" and os.path.isdir(path)):
                _written(seen, event, path)


def _written(seen: Seen, event: str, path: str | bytes) -> None:
    text = os.fsdecode(path)
    # a name is written in its folder: rename and remove act on a link, not on what it leads to
    real = os.path.realpath(text) if event == "open" else os.path.join(os.path.realpath(os.path.dirname(text)), "x")
    if not real.startswith(("/dev/", "/proc/self/")) and not any(Path(real).is_relative_to(r) for r in seen.roots):
        seen.wrote.append(f"{event} {text}")
