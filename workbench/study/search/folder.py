"""search.json: what a study's folder says about the search that it holds."""

from __future__ import annotations

from pathlib import Path

from workbench.study.errors import SweepError
from workbench.study.files import read_json, write_json
from workbench.study.names import slug
from workbench.study.search.spec import Search, parse_search

NAME = "search.json"
FORMAT = 1


def holds_search(root: Path) -> bool:
    """Whether the folder of a study is that of a search."""
    return (root / NAME).is_file()


def write_folder(root: Path, search: Search, key: str) -> None:
    """Write search.json: the file as it was read, and the key that its trials carry."""
    # JSON with sorted keys would lose the order of parameters and metrics, which has a meaning: pairs keep it.
    write_json(root / NAME, {"format": FORMAT, "key": key, "study": search.study, "file": _pairs(search.raw)})


def read_folder(root: Path) -> tuple[Search, str]:
    """The search and its key. SweepError where there is none, or one of another version."""
    raw = read_json(root / NAME)
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise SweepError(f"{root}/{NAME}: is missing, or of another version. Run the sweep again: trials are kept.")
    try:
        path = root / f"{slug(raw['study'], 'The study')}.yaml"
        # What was checked when it was written is not checked again: the base may lie on another machine.
        return parse_search(_mapping(raw["file"]), path, base=root / NAME), str(raw["key"])
    except SweepError as error:
        raise SweepError(f"{root}/{NAME}: is not what a sweep wrote. {error}") from error
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise SweepError(f"{root}/{NAME}: is not what a sweep wrote ({type(error).__name__}).") from error


def _pairs(value: object) -> object:
    if isinstance(value, dict):
        return {"pairs": [[key, _pairs(item)] for key, item in value.items()]}
    return [_pairs(item) for item in value] if isinstance(value, list) else value


def _mapping(value: object) -> dict:
    found = _plain(value)
    if not isinstance(found, dict):
        raise TypeError("no mapping")
    return found


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value["pairs"]}
    return [_plain(item) for item in value] if isinstance(value, list) else value
