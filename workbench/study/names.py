"""Names that become folders, and the rule that nothing is written outside the results folder."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.study.errors import SweepError

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")
_RESERVED = {"con", "prn", "aux", "nul", "reference", "figures", "evaluations"}


def slug(name: str, what: str) -> str:
    """Return `name` if it can be a folder's name on any file system; SweepError, naming `what` it is, otherwise.

    1 to 80 characters: letters, digits, '_', '-', '+' and '.', not first a sign, no two dots in a row, not the name
    of a folder that a study keeps for itself.
    """
    fine = _SLUG.fullmatch(name) and ".." not in name and not name.endswith(".") and name.lower() not in _RESERVED
    if not fine:
        raise SweepError(
            f"{what} {name[:100]!r} becomes a folder's name: use up to 80 letters, digits, '-', '_' and '.', "
            f"the first a letter or a digit, and none of {', '.join(sorted(_RESERVED))}."
        )
    return name


def inside(root: Path, *parts: str) -> Path:
    """root/parts, resolved. SweepError if that leaves `root`, by '..', an absolute part or a symbolic link."""
    base = root.resolve()
    path = base.joinpath(*parts).resolve()
    if not path.is_relative_to(base) or path == base:
        raise SweepError(f"{'/'.join(parts)!r} leads outside the results folder {base}. Nothing is written there.")
    return path
