"""Names that become folders, and the rule that nothing is written outside the results folder."""

from __future__ import annotations

import re
from pathlib import Path

from workbench.files import OutsideError, refuse_links
from workbench.study.errors import SweepError

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")
_RESERVED = {"reference", "figures", "evaluations", "logs", "plans", "runs", "world"}  # folders of our own
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # of Windows, with any ending
# A study's files are called so, and an arm's folder beside them may not be.
_ENDINGS = (".json", ".yaml", ".csv", ".md", ".tex", ".html", ".journal", ".lock", ".png", ".txt", ".jsonl", ".ckpt")


def slug(name: str, what: str) -> str:
    """Return `name` if it can be a folder's name on any file system; SweepError, naming `what` it is, otherwise.

    1 to 80 characters: ASCII letters, digits, '_', '-', '+' and '.', not first a sign, no two dots in a row, not the
    name of a folder that a study keeps for itself, of a file, or of one of Windows' devices.
    """
    lower = name.lower()
    fine = _SLUG.fullmatch(name) and ".." not in name and not name.endswith(".") and lower not in _RESERVED
    if not fine or _DEVICES.fullmatch(lower) or lower.endswith(_ENDINGS):
        raise SweepError(
            f"{what} {name[:100]!a} becomes a folder's name: use up to 80 letters, digits, '-', '_' and '.', "
            f"the first a letter or a digit, no file's ending as .json, and not con, {', '.join(sorted(_RESERVED))}."
        )
    return name


def inside(root: Path, *parts: str) -> Path:
    """root/parts, resolved. SweepError if that leaves `root`, by '..', an absolute part or a symbolic link."""
    base = root.resolve()
    try:
        path = base.joinpath(*parts).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL, links in a circle
        path = base
    if not path.is_relative_to(base) or path == base:
        raise SweepError(
            f"{'/'.join(parts)[:100]!a} leads outside the results folder {base}. Nothing is written there."
        )
    return path


def check_links(folder: Path) -> None:
    """SweepError for a folder that is, or holds, a symbolic link to elsewhere: see `workbench.files.refuse_links`."""
    try:
        refuse_links(folder)
    except OutsideError as error:
        raise SweepError(str(error)) from error
