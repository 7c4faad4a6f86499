"""The command line of workbench.train."""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from workbench.config import ConfigError, parse_yaml, training_part
from workbench.files import as_file_name


@dataclass
class Command:
    """A parsed command line; overrides in their order."""

    config: Path | None
    run_dir: Path | None
    plugins: list[str]
    overrides: dict[str, Any]
    print_config: bool
    list: bool
    quiet: bool
    quarantine: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See --help.")


def parse(arguments: Sequence[str]) -> Command:
    """The options; everything else that looks like --a.b VALUE or --a.b=VALUE is an override, its value YAML.

    Raises:
        ConfigError: an option without its value, or a word that is neither.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--plugin", action="append", default=[])
    parser.add_argument("--print-config", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--quarantine", action="store_true")
    known, rest = parser.parse_known_args(_joined(arguments))
    overrides: dict[str, Any] = {}
    for word in rest:
        key, separator, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not separator or not key:
            what = "needs a value" if word.startswith("--") else "is not expected here"
            raise ConfigError(f"{word!r} {what}. Settings are given as --KEY VALUE; see --help.")
        overrides.pop(key, None)  # given twice: the last one counts, at its place in the order
        overrides[key] = parse_yaml(value, f"--{key}")
    return Command(
        config=known.config,
        run_dir=known.run_dir,
        plugins=known.plugin,
        overrides=overrides,
        print_config=known.print_config,
        list=known.list,
        quiet=known.quiet,
        quarantine=known.quarantine,
    )


def _joined(arguments: Sequence[str]) -> list[str]:
    """--a.b VALUE as --a.b=VALUE, so that a value may begin with a dash (-0.2)."""
    own = {"--config", "--run-dir", "--plugin"}
    flags = {"--print-config", "--list", "--quiet", "--quarantine"}
    joined: list[str] = []
    words = iter(arguments)
    for word in words:
        if word.startswith("--") and "=" not in word and word not in own | flags:
            value = next(words, None)
            joined.append(word if value is None else f"{word}={value}")
        else:
            joined.append(word)
    return joined


def default_run_dir(config_file: Path, resolved: dict[str, Any]) -> Path:
    """results/runs/<name of the file>-<8 digits of the training configuration's hash>: the same command, the same
    run."""
    text = json.dumps(training_part(resolved), sort_keys=True)
    return (
        Path("results") / "runs" / f"{as_file_name(config_file.stem)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    )


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Inside, the first Ctrl-C only makes the yielded function return True; the second interrupts as usual."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set  # signals belong to the main thread
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(*_: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handle)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
