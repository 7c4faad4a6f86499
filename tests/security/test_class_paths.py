"""A configuration names classes; it may not name code. Under an audit hook: nothing is imported, nothing is called."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.security.watch import CANARY, watching
from workbench.config import ConfigError, allow_plugins, instantiate, resolve
from workbench.config import classes as registry

SHIFT = "model.losses.reconstruction.target.shift"
PATHS: dict[str, Any] = {
    "os": "os.system",
    "subprocess": "subprocess.Popen",
    "builtins": "builtins.exec",
    "dunder": "__builtins__.eval",
    "torch": "torch.hub.load",
    "a module that is not there": f"{CANARY}.Shift",
    "a module on the path": f"{CANARY}_module.HalfShift",
    "standard library": "antigravity.fly",
    "our module's torch": "workbench.distill.shifts.scale.torch.hub.load",
    "our module's os": "workbench.files.os.system",
    "our module's alias": "workbench.config.classes.importlib.import_module",
    "our function": "workbench.files.read_bytes",
    "our verb": "workbench.train.main",
    "not a class": "workbench.distill.shifts.table.np",
    "another family": "workbench.distill.trajectories.forward.Forward",
    "another family, short": "Adversarial",
    "the family itself": "workbench.distill.shifts.base.ShiftSchedule",
    "our class through another module": "workbench.distill.targets.teacher.TableShift",
    "a base of ours": "workbench.distill.shifts.base.ABC",
    "dunders of ours": "workbench.distill.shifts.scale.ScaleShift.__init__.__globals__",
    "mro": "ScaleShift.__mro__",
    "relative": ".scale.ScaleShift",
    "up": "..distill.ScaleShift",
    "a path": "../../evil.py",
    "a slash": "workbench/distill/shifts/scale.ScaleShift",
    "a colon": "workbench.distill.shifts.scale:ScaleShift",
    "a prefix of ours": f"workbench_{CANARY}.Shift",
    "whitespace": " ScaleShift",
    "a newline": "ScaleShift\nos.system",
    "look-alike": "ScaleShіft",  # a Cyrillic i
    "full width": "ＳcaleShift",
    "nothing": "",
    "dots": "...",
    "very long": "workbench." + "a." * 50_000 + "b",
    "a list": ["os.system"],
    "a mapping": {"class_path": "os.system"},
    "a number": 3,
}


@pytest.fixture
def on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported, and says so by a file; plug-ins that a test allows are forgotten after it."""
    source = (
        "from dataclasses import dataclass\nfrom pathlib import Path\nfrom workbench.distill import ShiftSchedule\n"
        f"Path({str(tmp_path / 'marker')!r}).touch()\n\n\n"
        "@dataclass(frozen=True)\nclass HalfShift(ShiftSchedule):\n    def level(self, t, process, timesteps):\n"
        "        return 0.5 * t\n"
    )
    (tmp_path / f"{CANARY}_module.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_allowed", set())
    return tmp_path


@pytest.mark.parametrize("name", PATHS)
def test_a_class_path(name: str, on_the_path: Path) -> None:
    """As a value, inside a plug-in, in a resolved file that is instantiated, and as a key."""
    path = PATHS[name]
    whole = resolve({})
    whole["model"]["losses"]["reconstruction"]["init_args"]["target"]["init_args"]["shift"]["class_path"] = path
    ways: list[Any] = [
        lambda: resolve({}, {SHIFT: {"class_path": path, "init_args": {}}}),
        lambda: resolve({}, {f"{SHIFT}.class_path": path}),
        lambda: resolve({}, {"model.losses.x": {"class_path": path, "args": ["true"]}}),
        lambda: resolve({"data": {"class_path": path}}),
        lambda: instantiate(whole),
    ]
    before = set(sys.modules)
    for index, way in enumerate(ways):
        if index == 2 and name == "another family, short":
            continue  # there it is the right family
        with watching(on_the_path) as seen, pytest.raises(ConfigError) as caught:
            way()
        seen.check()
        message = str(caught.value)
        assert "\n" not in message and len(message) < 1_000, message
    assert set(sys.modules) == before
    assert not (on_the_path / "marker").exists()


def test_the_watch_sees_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a module is called, where it lies says that it is not ours; and ours are no news."""
    (tmp_path / "harmless_name.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with watching(tmp_path) as seen:
        importlib.import_module("harmless_name")
    assert seen.ran == ["import harmless_name"] and sys.modules.pop("harmless_name")
    kept = {name: sys.modules.pop(name, None) for name in ("colorsys", "tests.tiny")}
    with watching(tmp_path) as seen:
        for name in kept:
            importlib.import_module(name)
        (tmp_path.parent / "elsewhere").write_text("")
    sys.modules.update({name: module for name, module in kept.items() if module is not None})
    assert seen.ran == [] and len(seen.wrote) == 1


PLUGINS: list[Any] = [
    [f"{CANARY}_module"],
    f"{CANARY}_module",
    ["os"],
    [f"{CANARY}_module", 3],
    [["os"]],
    [{"a": 1}],
    [None],
    {"os": 1},
    7,
]


@pytest.mark.parametrize("plugins", PLUGINS, ids=str)
def test_a_file_cannot_allow_its_own_plugins(plugins: Any, on_the_path: Path) -> None:
    for way in (lambda: resolve({"plugins": plugins}), lambda: resolve({}, {"plugins": plugins})):
        with watching(on_the_path) as seen, pytest.raises(ConfigError) as caught:
            instantiate(way())
        seen.check()
        assert "\n" not in str(caught.value)
    assert not (on_the_path / "marker").exists()


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..evil",
        "a/b",
        "../evil",
        "/tmp/evil",
        "evil.py:main",
        "a b",
        "a;b",
        "a\nb",
        "-c",
        "a..b",
        "ä",
        "x" * 300,
        f"{CANARY}_not_there",
    ],
)
def test_a_plugin_is_named_as_in_an_import(name: str, on_the_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        allow_plugins([name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["raise SystemError('boom\\nboom')", "def f(:", "1 / 0"])
def test_a_plugin_that_breaks_is_one_line(source: str, on_the_path: Path) -> None:
    (on_the_path / f"{CANARY}_broken.py").write_text(source)
    with pytest.raises(ConfigError, match=f"{CANARY}_broken.*cannot be imported") as caught:
        allow_plugins([f"{CANARY}_broken"])
    assert "\n" not in str(caught.value)
    sys.modules.pop(f"{CANARY}_broken", None)


def test_with_the_flag_a_plugin_is_what_it_is_for(on_the_path: Path) -> None:
    name = f"{CANARY}_module"
    resolved = resolve({}, {SHIFT: f"{name}.HalfShift"}, plugins=[name])
    assert resolved["plugins"] == [name] and (on_the_path / "marker").exists()
    sys.modules.pop(name)
