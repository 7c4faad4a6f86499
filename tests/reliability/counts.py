"""How often a slow suite does what it does: WORKBENCH_COUNT_KILLS=20 pytest -m slow ...; without it, the number that
is promised."""

from __future__ import annotations

import os


def count(name: str, promised: int) -> int:
    """The number of the variable WORKBENCH_COUNT_<name>, or the promised one."""
    return int(os.environ.get(f"WORKBENCH_COUNT_{name}", promised))
