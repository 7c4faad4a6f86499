"""Every class of a family, for conformance tests: a new file joins by existing."""

from __future__ import annotations

import inspect
from typing import Any

import workbench.distill  # noqa: F401  # so that every family is imported


def every(base: Any) -> list[Any]:
    """The concrete classes of the package below `base`, by name."""
    found: set[Any] = set()
    waiting = [base]
    while waiting:
        for cls in waiting.pop().__subclasses__():
            waiting.append(cls)
            if not inspect.isabstract(cls) and cls.__module__.startswith("workbench."):
                found.add(cls)
    return sorted(found, key=lambda cls: cls.__name__)
