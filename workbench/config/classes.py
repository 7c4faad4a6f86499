"""The plug-in classes that a configuration may name, and their arguments."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import types
from abc import ABC
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from workbench.config.errors import ConfigError, say, unknown_name
from workbench.data import DataSource
from workbench.diffusion import Sampler, StudentGrid
from workbench.distill import (
    Distance,
    Game,
    Loss,
    OptimizerKind,
    ShiftSchedule,
    Target,
    TargetNoise,
    Trajectory,
)
from workbench.models import StudentKind

_allowed: set[str] = set()


def allow_plugins(modules: Iterable[str]) -> None:
    """Import modules outside workbench and let configurations name their classes, in this process.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    for module in modules:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", module, re.ASCII) or len(module) > 200:
            raise ConfigError(
                f"--plugin {module[:100]!a}: is no module's name. Give it as in an import, say my_package.losses."
            )
        try:
            importlib.import_module(module)
        except Exception as error:  # it is the user's own code, and whatever it raises is in it
            reason = " ".join(str(error).split())[:300]
            kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
            raise ConfigError(f"plug-in module {module!r} cannot be imported: {kind}{reason}") from error
        _allowed.add(module)


def known(base: type) -> dict[str, type]:
    """The classes that may stand where `base` is wanted, by short name: workbench's, and those of allowed plug-ins."""
    found: dict[str, type] = {}
    for cls in _subclasses(base):
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_") and _is_allowed(cls):
            # A plug-in cannot take the name of one of ours; it is reached by its dotted path.
            name = cls.__name__ if cls.__name__ not in found or _is_ours(cls) else dotted(cls)
            found[name] = cls
    return dict(sorted(found.items()))


def catalogue() -> str:
    """Every family with its classes and their arguments, for reading."""
    families: tuple[type, ...] = (
        StudentKind,
        StudentGrid,
        Sampler,
        Trajectory,
        Loss,
        Target,
        ShiftSchedule,
        TargetNoise,
        Distance,
        Game,
        OptimizerKind,
        DataSource,
    )
    lines = [line for base in families for line in _catalogue_of(base)]
    return "\n".join(lines)


def _catalogue_of(base: type) -> list[str]:
    lines = [f"{base.__name__}: {_first_line(base)}"]
    for name, cls in known(base).items():
        arguments = []
        for key, (_, default) in constructor_parameters(cls).items():
            shown = plain(default)
            value = shown["class_path"].rpartition(".")[2] if isinstance(shown, dict) else shown
            arguments.append(key if default is inspect.Parameter.empty else f"{key}={value!r}")
        lines.append(f"  {name}({', '.join(arguments)})\n      {_first_line(cls)}")
    return [*lines, ""]


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


def find_class(name: str, base: type, where: str) -> type:
    """The class that a short name or an allowed dotted path means. Raises ConfigError if there is none."""
    classes = known(base)
    if name in classes:
        return classes[name]
    for cls in classes.values():
        if name == dotted(cls):
            return cls
    module = name[:200].rpartition(".")[0]
    if module and not module.startswith("workbench.") and not any(_below(module, m) for m in _allowed):
        raise ConfigError(
            f"{where}: classes from {module!r} are not allowed here. If you trust that module, name it: --plugin "
            f"{ascii(module)[1:-1]}."
        )
    raise unknown_name(where, name, classes, f"{base.__name__}")


def type_options(hint: Any) -> tuple[list[Any], bool]:
    """The types a value may have, without None, and whether it may be None."""
    if get_origin(hint) in (Union, types.UnionType):
        members = get_args(hint)
        return [m for m in members if m is not type(None)], type(None) in members
    return [hint], False


def is_plugin(hint: Any) -> bool:
    """Whether a class by name is wanted here: a family of plug-ins, or a member of one."""
    # not issubclass(): any class that registers itself with some abstract class passes that, int and float among them
    return inspect.isclass(hint) and ABC in hint.__mro__


def is_group(hint: Any) -> bool:
    """Whether a group of settings is wanted here."""
    return dataclasses.is_dataclass(hint) and not is_plugin(hint)


@cache
def group_hints(group: Any) -> dict[str, Any]:
    """name -> type of a group of settings."""
    return get_type_hints(group)


@cache
def constructor_parameters(cls: Any) -> dict[str, tuple[Any, Any]]:
    """name -> (type, default) of the arguments of a plug-in's constructor."""
    is_data = dataclasses.is_dataclass(cls)
    hints = get_type_hints(cls if is_data else cls.__init__)
    fields = {item.name: item for item in dataclasses.fields(cls)} if is_data else {}
    found = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        # the signature hides what a default_factory makes
        found[name] = (hints[name], default_of(fields[name]) if name in fields else parameter.default)
    return found


def default_of(item: Any) -> Any:
    """The default of a dataclass's field, made anew; inspect.Parameter.empty if it has none."""
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return inspect.Parameter.empty if item.default is dataclasses.MISSING else item.default


def plain(value: Any) -> Any:
    """Objects as plain data: frozen dataclasses and losses become {class_path, init_args}, tuples lists."""
    if isinstance(value, Mapping):
        if isinstance(value.get("class_path"), str) and not value.keys() - {"class_path", "init_args"}:
            name = value["class_path"]
            short = name.rpartition(".")[2] if name.startswith("workbench.") else name
            return {"class_path": short, "init_args": plain(value.get("init_args") or {})}
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if is_plugin(type(value)):
        arguments = {name: plain(getattr(value, name)) for name in constructor_parameters(value.__class__)}
        return {"class_path": dotted(type(value)), "init_args": arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return value


def _subclasses(base: type) -> list[type]:
    found: list[type] = [base]
    children: list[type] = base.__subclasses__()
    for cls in children:
        found += [c for c in _subclasses(cls) if c not in found]
    return found


def dotted(cls: type) -> str:
    """The path by which a class can be imported."""
    return f"{cls.__module__}.{cls.__qualname__}"


def short_name(cls: type, base: type) -> str:
    """How a configuration names the class: ours by its short name, others by their path."""
    return next(name for name, other in known(base).items() if other is cls) if _is_ours(cls) else dotted(cls)


def _is_ours(cls: type) -> bool:
    return _below(cls.__module__, "workbench")


def _is_allowed(cls: type) -> bool:
    return _is_ours(cls) or any(_below(cls.__module__, module) for module in _allowed)


def _below(module: str, parent: str) -> bool:
    return module == parent or module.startswith(parent + ".")


def check_plugins(modules: Any) -> None:
    """Raises ConfigError for a module that nobody allowed: naming it is not trusting it."""
    for module in modules if isinstance(modules, (list, tuple)) else [modules]:
        if not isinstance(module, str):
            raise ConfigError(f"plugins: names of modules are wanted, but got {say(module)}.")
        if module not in _allowed:
            raise ConfigError(
                f"plugins: the configuration wants the module {module[:100]!a}, which is code that would run here. "
                f"If you trust it, name it yourself: --plugin {ascii(module[:100])[1:-1]}."
            )
