"""What a user's surroundings hold stays out of every file and message; and what could fetch or run code stays off."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path

import pytest

from tests.project.tree import python_files
from workbench.study import provenance
from workbench.study.errors import SweepError
from workbench.study.ledger import open_storage

URLS = [
    "postgresql://me:pa55@host/db",
    "postgresql://host/db?user=me&password=pa55",
    "postgresql://me:pa55@h/d?password=pa55",
]


@pytest.mark.parametrize("url", URLS)
def test_a_password_is_not_written_down(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for words in (["--storage", url], [f"--storage={url}"]):
        monkeypatch.setattr("sys.argv", ["sweep", "x.yaml", *words])
        assert "pa55" not in provenance.command() and "postgresql://" in provenance.command()
    with pytest.raises(SweepError) as caught:
        open_storage(url.replace("postgresql", "no-such-driver"), tmp_path)
    assert "pa55" not in str(caught.value)


def test_provenance_holds_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "s3cr3t-t0ken")
    assert "s3cr3t-t0ken" not in json.dumps(provenance.gather.__wrapped__())


@cache
def every_call() -> list[tuple[str, Path, ast.Call]]:
    """(".torch.load", file, node) of every call in what is shipped."""
    files = [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in python_files("workbench")]
    return [
        (f".{ast.unparse(node.func)}", path, node)
        for path, tree in files
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]


def calls(name: str) -> list[tuple[Path, ast.Call]]:
    """Calls of this name, `pickle.load` or a bare `from_pretrained`."""
    return [(path, node) for text, path, node in every_call() if text.endswith(f".{name}")]


def arguments(call: ast.Call) -> dict[str, str]:
    return {str(keyword.arg): ast.unparse(keyword.value) for keyword in call.keywords}


@pytest.mark.parametrize(
    "name",
    ["pickle.load", "pickle.loads", "eval", "exec", "os.system", "yaml.safe_load", "yaml.unsafe_load", "yaml.full_load",
     "extractall", "hf_hub_download", "snapshot_download", "urlopen", "urlretrieve"],
)  # fmt: skip
def test_nothing_shipped_calls(name: str) -> None:
    assert calls("read_text"), "the search finds calls"
    # train(), eval() of a module switches dropout off; only the bare name is Python's
    found = [(p, c) for p, c in calls(name) if name not in ("eval", "exec") or isinstance(c.func, ast.Name)]
    assert found == []


def test_tensors_are_read_in_one_place_and_nothing_is_fetched() -> None:
    assert [path.name for path, _ in calls("torch.load")] == ["tensor_files.py"]
    assert all(arguments(call)["weights_only"] == "True" for _, call in calls("torch.load"))
    assert all(arguments(call)["allow_pickle"] == "False" for _, call in calls("np.load"))
    for path, call in calls("from_pretrained"):
        assert arguments(call).get("local_files_only") == "True", f"{path}:{call.lineno}"
        if "AutoTokenizer" in ast.unparse(call.func):
            assert arguments(call)["trust_remote_code"] == "False"
    assert not [path for path, _ in calls("yaml.load")]
