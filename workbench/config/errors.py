"""What is wrong with a configuration, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one readable line: where, what, what to do."""


def unknown_name(where: str, name: str, choices: Iterable[str], kind: str) -> ConfigError:
    """The error for a name that does not exist, with the nearest one and all that do."""
    choices, name = list(choices), name if len(name) <= 100 else name[:97] + "..."
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    lower = {choice.lower(): choice for choice in choices}
    if not close and name.lower() in lower:
        close = [lower[name.lower()]]
    hint = f" Did you mean {close[0]}?" if close else ""
    return ConfigError(f"{where}: no {kind} {name!r}.{hint} Known: {', '.join(choices) or 'none'}.")


def say(value: Any) -> str:
    """A value as an error shows it, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
