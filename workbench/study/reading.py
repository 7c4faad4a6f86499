"""Reads YAML as a person means it, and refuses what no person writes."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from workbench.study.errors import SweepError

MAX_BYTES = 1_000_000
MAX_NODES = 100_000  # after aliases are expanded
MAX_DEPTH = 100


class _Loader(yaml.SafeLoader):
    """Safe YAML in which only true and false are booleans, 1e-4 is a number, and 2026-01-01 is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in pairs if tag.rsplit(":", 1)[-1] not in ("bool", "float", "int", "timestamp")
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
    ),
    list("-+.0123456789"),
)
# The resolvers of YAML 1.1 match a prefix; ours must match the whole scalar.
for _first, _pairs in _Loader.yaml_implicit_resolvers.items():
    _Loader.yaml_implicit_resolvers[_first] = [(t, re.compile(rf"(?:{p.pattern})\Z", p.flags)) for t, p in _pairs]


def read_yaml(path: Path) -> dict[str, Any]:
    """The file's mapping. Keys are the texts as written (`on`, `1` and `true` are names), values are typed.

    SweepError for a missing file, a file above 1 MB, more than 100,000 values after aliases are expanded, an alias
    that contains itself, a key given twice, a tag that would make an object, and anything that is no mapping.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise SweepError(f"{path}: {path.stat().st_size:,} bytes, but a sweep file has at most {MAX_BYTES:,}.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SweepError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise SweepError(f"{path}: is not UTF-8 text.") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """As `read_yaml`, for a text; `where` begins every message."""
    try:
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise SweepError(f"{where}: the file is empty.")
        _measure(root, where)
        value = _construct(root, where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SweepError(f"{where}{line}: is no valid YAML: {getattr(error, 'problem', None) or error}.") from error
    except RecursionError as error:
        raise SweepError(f"{where}: is nested too deeply.") from error
    if not isinstance(value, dict):
        raise SweepError(f"{where}: must be a mapping (key: value), but is a {type(value).__name__}.")
    return value


def _measure(root: yaml.Node, where: str) -> None:
    """Count the nodes that aliases stand for, each anchor once, so that a bomb costs nothing to refuse."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: yaml.Node, depth: int) -> int:
        if id(node) in open_nodes:
            raise SweepError(f"{where}, line {node.start_mark.line + 1}: an alias contains itself.")
        if depth > MAX_DEPTH:
            raise SweepError(f"{where}, line {node.start_mark.line + 1}: is nested more than {MAX_DEPTH} deep.")
        if id(node) not in sizes:
            open_nodes.add(id(node))
            children = node.value if isinstance(node, yaml.CollectionNode) else []
            if isinstance(node, yaml.MappingNode):
                children = [child for pair in node.value for child in pair]
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in children)
            open_nodes.discard(id(node))
        return sizes[id(node)]

    if size(root, 0) > MAX_NODES:
        raise SweepError(f"{where}: its aliases expand to more than {MAX_NODES:,} values.")


def _construct(node: yaml.Node, where: str) -> Any:
    line = f"{where}, line {node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
        return [_construct(child, where) for child in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
        return _mapping(node, where)
    if not isinstance(node, yaml.ScalarNode):
        raise SweepError(f"{line}: the tag {node.tag} is not allowed. A sweep file holds plain values only.")
    kind, text = node.tag.removeprefix("tag:yaml.org,2002:"), node.value
    if kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text.replace("_", ""))
    if kind == "float":
        number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            raise SweepError(f"{line}: {text} is not a finite number.")
        return number
    if kind == "merge":
        return text
    raise SweepError(f"{line}: the tag {node.tag} is not allowed. A sweep file holds plain values only.")


def _mapping(node: yaml.MappingNode, where: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, child in node.value:
        line = f"{where}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise SweepError(f"{line}: a key must be a plain name.")
        if key.tag.endswith(":merge"):
            parts = _construct(child, where)
            for part in parts if isinstance(parts, list) else [parts]:
                if not isinstance(part, dict):
                    raise SweepError(f"{line}: '<<' merges mappings only.")
                merged = {**part, **merged}
            continue
        if key.value in result:
            raise SweepError(f"{line}: the key {key.value!r} is given twice.")
        result[key.value] = _construct(child, where)
    return {**merged, **result}


def as_name(value: Any) -> str:
    """A level's name, wherever YAML saw a value: 3 -> '3', True -> 'true', None -> 'null'."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
