"""What the tests of this folder ask about the source tree: its files, and who imports what."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Import:
    """One imported name, as written: `from a import b` is `a.b`."""

    name: str
    path: Path
    line: int
    lazy: bool  # inside a function: paid only by those who call it

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    def within(self, package: str) -> bool:
        return self.name == package or self.name.startswith(f"{package}.")

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.name}"


def project_files() -> list[Path]:
    """Files that are, or would be, committed: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def python_files(*folders: str) -> list[Path]:
    """Python files of the project below these folders (or being one of these files); an empty answer is an error."""
    roots = [ROOT / folder for folder in folders]
    found = [p for p in project_files() if p.suffix == ".py" and any(r == p or r in p.parents for r in roots)]
    assert found, f"no Python file in {folders}"
    return found


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, but for those that only a type checker sees."""
    yield from _imports(ast.parse(path.read_text(encoding="utf-8")), path, lazy=False)


def _imports(node: ast.AST, path: Path, lazy: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name, path, node.lineno, lazy) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (Import(f"{node.module}.{alias.name}", path, node.lineno, lazy) for alias in node.names)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for otherwise in node.orelse:
            yield from _imports(otherwise, path, lazy)
    else:
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, path, lazy)
