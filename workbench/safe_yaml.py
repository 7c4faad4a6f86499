"""YAML as a person means it, read safely and within bounds; and written so that it is read as it was meant."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from workbench.files import ReadingError, read_text

MAX_BYTES = 1_000_000  # a configuration has a few thousand
MAX_NODES = 50_000  # as written, and again after aliases are expanded
MAX_DEPTH = 100


class _Loader(yaml.SafeLoader):
    """Safe YAML in which only true and false are booleans, 1e-4 is a number, and 2026-01-01 is a text.

    Only composes: `_construct` makes the values, so that no constructor of a tag is ever asked.
    """

    nodes = depth = 0
    where = ""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count while reading: a bomb is refused before the rest of it is scanned."""
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES:
            raise ReadingError(f"{self.where}: more than {MAX_NODES:,} values are too many.")
        if self.depth > MAX_DEPTH:
            raise ReadingError(_nested(self.where))
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern) for tag, pattern in pairs if tag.rsplit(":", 1)[-1] not in ("bool", "float", "int", "timestamp")
    ]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = re.compile(
    r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9_]*)"), list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
# The resolvers of YAML 1.1 match a prefix; ours must match the whole scalar.
for _first, _pairs in _Loader.yaml_implicit_resolvers.items():
    _Loader.yaml_implicit_resolvers[_first] = [(t, re.compile(rf"(?:{p.pattern})\Z", p.flags)) for t, p in _pairs]


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # libyaml's takes a tenth of the time
    """safe_dump that also quotes the texts which only our reader would take for a number, as '1e-4'."""


_Dumper.yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"(?:{_FLOAT.pattern})\Z"), list("-+.0123456789")
)  # fmt: skip

# What no person types: control characters (they change terminals and end file names) and halves of a character.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


def read_yaml(path: Path) -> Any:
    """The value in a YAML file, None for an empty one. Keys are the texts as written (`on`, `1` and `true` are names).

    Raises:
        OSError: it is not there or cannot be opened.
        ReadingError: above 1 MB, more than 50,000 values (also after aliases are expanded), more than 100 deep, an
            alias that contains itself, a key given twice, a tag that would make an object, a number that is not finite
            or does not fit into 64 bits, a control character, or no YAML at all.
    """
    return parse_yaml(read_text(path, MAX_BYTES), str(path))


def parse_yaml(text: str, where: str = "") -> Any:
    """As `read_yaml`, for a text; `where` begins every message."""
    where = where or "the text"
    if len(text) > MAX_BYTES:
        raise ReadingError(f"{where}: {len(text):,} characters are too many (at most {MAX_BYTES:,}).")
    try:
        loader = _Loader(text)
        loader.where = where
        root = loader.get_single_node()
        if root is None:
            return None
        _measure(root, where)
        return _construct(root, where)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ReadingError(f"{where}{line}: is not valid YAML: {problem[:300]}.") from error
    except RecursionError as error:
        raise ReadingError(_nested(where)) from error


def dump_yaml(value: Any) -> str:
    """Plain data as YAML text that `parse_yaml` and `yaml.safe_load` read alike."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _nested(where: str) -> str:
    return f"{where}: is nested more than {MAX_DEPTH} deep."


def _measure(root: yaml.Node, where: str) -> None:
    """Size and height with every alias expanded, each anchor counted once, so that a bomb costs nothing to refuse."""
    known: dict[int, tuple[int, int]] = {}
    open_nodes: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        if id(node) in open_nodes:
            raise ReadingError(f"{where}, line {node.start_mark.line + 1}: an alias contains itself.")
        if id(node) not in known:
            open_nodes.add(id(node))
            children = node.value if isinstance(node, yaml.CollectionNode) else []
            if isinstance(node, yaml.MappingNode):
                children = [child for pair in node.value for child in pair]
            below = [measure(child) for child in children]
            known[id(node)] = 1 + sum(size for size, _ in below), 1 + max((height for _, height in below), default=0)
            open_nodes.discard(id(node))
        return known[id(node)]

    size, height = measure(root)
    if size > MAX_NODES:
        raise ReadingError(f"{where}: its aliases expand to more than {MAX_NODES:,} values.")
    if height > MAX_DEPTH:
        raise ReadingError(_nested(where))


def _construct(node: yaml.Node, where: str) -> Any:
    line = f"{where}, line {node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
        return [_construct(child, where) for child in node.value]
    if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
        return _mapping(node, where)
    kind = node.tag.removeprefix("tag:yaml.org,2002:") if isinstance(node, yaml.ScalarNode) else ""
    if kind in ("str", "merge"):
        return _text(node.value, line)
    if kind == "null":
        return None
    if kind == "bool" and node.value.lower() in ("true", "false"):
        return node.value.lower() == "true"
    if kind in ("int", "float"):
        return _number(node.value, kind, line)
    raise ReadingError(f"{line}: is not valid YAML here: the tag {node.tag[:100]!r} is not allowed, only plain values.")


def _text(text: str, line: str) -> str:
    if found := _UNPRINTABLE.search(text):
        raise ReadingError(f"{line}: a text holds the unprintable character {found[0]!r}. Remove it.")
    return text


def _number(text: str, kind: str, line: str) -> int | float:
    """A tag may stand before any text (`!!int x`), so that not every text is a number."""
    digits = text.replace("_", "")
    try:
        if kind == "int" and len(digits) <= 20 and -(2**63) <= (whole := int(digits)) < 2**64:
            return whole
        if kind == "float":
            number = float(digits.lower().replace(".inf", "inf").replace(".nan", "nan"))
            if math.isfinite(number):
                return number
    except ValueError as error:
        raise ReadingError(f"{line}: {text[:40]!r} is no number.") from error
    if kind == "int":
        raise ReadingError(f"{line}: the whole number {text[:24]}... does not fit into 64 bits.")
    raise ReadingError(f"{line}: {text[:40]} is not a finite number.")


def _mapping(node: yaml.MappingNode, where: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key, child in node.value:
        line = f"{where}, line {key.start_mark.line + 1}"
        if not isinstance(key, yaml.ScalarNode):
            raise ReadingError(f"{line}: a key must be a plain name.")
        if key.tag == "tag:yaml.org,2002:merge":
            parts = _construct(child, where)
            for part in parts if isinstance(parts, list) else [parts]:
                if not isinstance(part, dict):
                    raise ReadingError(f"{line}: '<<' merges mappings only.")
                merged = {**part, **merged}
            continue
        if key.value in result:
            raise ReadingError(f"{line}: the key {key.value[:60]!r} stands twice. Keep one of them.")
        result[_text(key.value, line)] = _construct(child, where)
    return {**merged, **result}
