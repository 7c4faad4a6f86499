"""What a user of a sweep may do wrong, in words."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_DISK = 74  # EX_IOERR of sysexits.h
EXIT_STOPPED = 130  # as a shell reports Ctrl-C


class SweepError(ValueError):
    """A sweep that cannot run as it is written or where it is: one readable message, raised before anything starts."""


class DiskError(SweepError):
    """The results folder cannot be written any more. What is finished stays; the same command goes on later."""


class DiskFullError(DiskError):
    """No room left under the results folder."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "scale"? Known: none, scale.' for a word that is not among the known ones."""
    names = sorted(str(k) for k in known)
    near = difflib.get_close_matches(str(word), names, n=1, cutoff=0.5)
    hint = f' Did you mean "{near[0]}"?' if near else ""
    return f"{hint} Known: {', '.join(names)}." if names else hint


def shown(value: object) -> str:
    """A value as a message shows it, at most 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def printable(text: str) -> str:
    """Without escape sequences, which would move a terminal's cursor or set its title."""
    return "".join(mark if mark.isprintable() or mark in "\n\t" else "\N{REPLACEMENT CHARACTER}" for mark in text)
