"""JSON from a file that somebody else may have written: no NaN, no endless nesting, no number that fits nowhere."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from workbench.files import ReadingError, read_bytes

MAX_BYTES = 64_000_000  # of a JSON file; a plan of thousands of cells has some
MAX_DEPTH = 100


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it is not there or cannot be opened.
        ReadingError: too large, no JSON, nested too deeply, or a number that is NaN, infinite or beyond 64 bits.
    """
    return parse_json(read_bytes(path, limit), str(path))


def parse_json(text: str | bytes, where: str) -> Any:
    """As `read_json`, for a text; `where` begins every message. Of a key that stands twice the last one counts."""

    def refuse(word: str) -> NoReturn:
        raise ReadingError(f"{where}: {word} is no number of JSON.")

    def integer(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
            raise ReadingError(f"{where}: the whole number {digits[:24]}... does not fit into 64 bits.")
        return int(digits)

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ReadingError(f"{where}: {digits[:24]} is not a finite number.")
        return value

    try:
        value = json.loads(text, parse_constant=refuse, parse_int=integer, parse_float=number)
    except ReadingError:
        raise
    except ValueError as error:  # also a byte that is no UTF-8
        raise ReadingError(f"{where}: is no valid JSON ({' '.join(str(error).split())[:200]}).") from error
    except RecursionError as error:
        raise ReadingError(f"{where}: is nested too deeply.") from error
    _check_depth(value, where)
    return value


def _check_depth(value: Any, where: str) -> None:
    """By level, not by recursion: what is deep must not be deep here."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise ReadingError(f"{where}: is nested more than {MAX_DEPTH} deep.")
