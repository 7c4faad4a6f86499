"""The configuration of one training run: typed groups, plug-ins by class name, overrides by dotted key.

    resolve(base, overrides) -> dict       every default filled in, everything checked; what a run folder stores
    instantiate(resolved)    -> Config     the objects
    dump(resolved, path)

The grammar, the same in a YAML file, in a sweep's levels and on the command line:

    train.batch_size: 8                                     a setting
    model.trajectory: Forward                               another plug-in, with its defaults
    model.trajectory: {class_path: Backward, states: all}   another plug-in, with arguments (or under init_args)
    model.losses.reconstruction.target.shift.factor: 0.6    an argument of the plug-in that is there
    model.losses.reconstruction: {weight: 2}                several arguments of the plug-in that is there
    model.losses.adversarial: Adversarial                   one more loss, under a name
    model.losses.adversarial: null                          one loss less

Overrides are applied in their order. on / off / yes / no mean booleans where a boolean is wanted, else they are words.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import os
import re
import types
from abc import ABC
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from workbench.data import DataSource, Wardrobe
from workbench.diffusion import DDIM, Sampler, StudentGrid, TrailingGrid
from workbench.distill import (
    AdamW,
    Backward,
    Distance,
    Game,
    Loss,
    OptimizerKind,
    Reconstruction,
    ShiftSchedule,
    Target,
    TargetNoise,
    Trajectory,
)
from workbench.models import FullStudent, StudentKind

MAX_BYTES = 1_000_000  # of a YAML file; a configuration has a few thousand
MAX_BRACKETS = 100  # of a YAML file, open at once; the scanner's time grows with their square
MAX_ALIASES = 100  # of a YAML file; nested aliases can unfold without bound


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one readable line: where, what, what to do."""


@dataclass
class TeacherConfig:
    """The frozen model that is distilled."""

    path: str = "wardrobe"  # a shipped teacher's name, or a folder in diffusers' Stable Diffusion layout
    guidance_scale: float | None = None  # null = the scale committed with the teacher


@dataclass
class EmaConfig:
    """The average of the student's weights, which is the student that is evaluated."""

    decay: float = 0.98  # horizon 1 / (1 - decay) updates; at most a quarter of them


@dataclass
class ModelConfig:
    """What is trained, where, and towards what."""

    student: StudentKind = field(default_factory=FullStudent)
    grid: StudentGrid = field(default_factory=TrailingGrid)
    num_steps: list[int] = field(default_factory=lambda: [1, 2, 3])  # N, drawn for each batch
    sampler: Sampler = field(default_factory=lambda: DDIM(noise_correction=True))  # of the rollout and of inference
    trajectory: Trajectory = field(default_factory=Backward)
    losses: dict[str, Loss] = field(default_factory=lambda: {"reconstruction": Reconstruction()})
    ema: EmaConfig = field(default_factory=EmaConfig)


@dataclass
class TrainConfig:
    """How long, how fast, on what, and what is written down."""

    student_updates: int = 150  # the length of a run; updates of critics do not count
    batch_size: int = 32  # over all processes
    learning_rate: float = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"  # cosine ends at 0
    warmup_updates: int = 10  # linear from 0 to learning_rate
    gradient_clip: float | None = 1.0  # largest norm of the student's gradient; null = any
    optimizer: OptimizerKind = field(default_factory=AdamW)
    devices: int = 1  # processes on each node
    num_nodes: int = 1
    accelerator: str = "auto"  # auto, cpu, gpu, ...
    # 64-true takes rounding out of a comparison; nothing is learnt better with it
    precision: Literal["32-true", "bf16-mixed", "64-true"] = "32-true"
    threads: int | None = None  # CPU threads of a process; null = torch's choice
    checkpoint_minutes: float = 2.0  # between two checkpoints; one more is written at the end
    log_every: int = 10  # student updates between two writes of metrics.jsonl (every update has its line)
    sample_every: int = 50  # student updates between two sample grids; 0 = none
    sample_prompts: int = 5  # rows of a sample grid; three students a row
    reference_samples: int = 16  # images behind std(teacher at 25 steps), measured once before training; 0 = not logged
    probe_every: int = 50  # student updates between two measurements of the exposure gap; 0 = never
    probe_samples: int = 8  # images behind it


@dataclass
class EvaluationConfig:
    """How a student is scored; no part of the training."""

    num_inference_steps: int = 3
    noise_correction: bool | None = None  # null = as in model.sampler
    subject: Literal["student", "teacher", "real"] = "student"
    guidance_scale: float | None = None  # of the subject teacher; null = its own
    solver: Sampler | None = None  # of the subject teacher; null = DPMSolverPP
    num_images: int = 512
    prompts: str = "report"  # report, tune, or a text file with one prompt a line
    batch_size: int = 64
    seed: int = 0
    extractors: list[str] = field(default_factory=lambda: ["judge"])


@dataclass
class Config:
    """One training run and the way it is scored."""

    seed: int = 0
    plugins: list[str] = field(default_factory=list)  # modules outside workbench that classes may come from
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    data: DataSource = field(default_factory=Wardrobe)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)


# ---- the verbs -------------------------------------------------------------------------------------------------------


def resolve(
    base: str | Path | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    plugins: Sequence[str] = (),
) -> dict[str, Any]:
    """The complete configuration as plain data: defaults filled in, overrides applied in order, everything checked.

    A fixed point: resolve(resolve(x)) == resolve(x). Losses that are null are left out.

    Args:
        base: a YAML file, or what such a file holds.
        overrides: dotted key -> value, see the module's docstring.
        plugins: modules outside workbench whose classes may be named; they are imported. The file's own `plugins` are
            not enough: naming a module is running it.

    Raises:
        ConfigError: one line that says where, what, and what to do.
    """
    if isinstance(base, (str, Path)):
        name, given = f"{base}: ", load_yaml(Path(base))
    else:
        name, given = "", dict(base)
    try:
        allow_plugins(plugins)
        _check_plugins(given.get("plugins") or [])
        resolved = _fill(given, Config, "")
        resolved["plugins"] = sorted({*resolved["plugins"], *plugins})
        for key, value in (overrides or {}).items():  # in their order: a later one meets what an earlier one made
            resolved = _put(resolved, Config, key.split("."), value, "")
        resolved = _plain(_validated(_fill(resolved, Config, "")))
        _check(instantiate(resolved))
    except ConfigError as error:
        raise ConfigError(f"{name}{error}") from None
    return resolved


def instantiate(resolved: Mapping[str, Any]) -> Config:
    """The objects of a resolved configuration. Losses have no networks yet (`Loss.prepare` makes them).

    Raises:
        ConfigError: an argument out of its range, with the place; or a plug-in module that nobody allowed.
    """
    _check_plugins(resolved.get("plugins") or [])
    config = _build(_fill(resolved, Config, ""), Config, "")
    assert isinstance(config, Config)
    return config


def to_yaml(resolved: Mapping[str, Any]) -> str:
    """A resolved configuration as YAML text."""
    return yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True)


def dump(resolved: Mapping[str, Any], path: str | Path) -> None:
    """Write a resolved configuration as YAML, by rename, so that nobody reads half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.write_text(to_yaml(resolved), encoding="utf-8")
    temporary.replace(path)


def training_part(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """What training depends on: all but `evaluation`."""
    return {key: value for key, value in resolved.items() if key != "evaluation"}


_allowed: set[str] = set()


def allow_plugins(modules: Iterable[str]) -> None:
    """Import modules outside workbench and let configurations name their classes, in this process.

    Raises:
        ConfigError: a module that cannot be imported.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(f"plug-in module {module!r} cannot be imported: {error}") from error
        _allowed.add(module)


def known(base: type) -> dict[str, type]:
    """The classes that may stand where `base` is wanted, by short name: workbench's, and those of allowed plug-ins."""
    found: dict[str, type] = {}
    for cls in _subclasses(base):
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_") and _is_allowed(cls):
            # A plug-in cannot take the name of one of ours; it is reached by its dotted path.
            name = cls.__name__ if cls.__name__ not in found or _is_ours(cls) else _dotted(cls)
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
        for key, (_, default) in _parameters(cls).items():
            shown = _plain(default)
            value = shown["class_path"].rpartition(".")[2] if isinstance(shown, dict) else shown
            arguments.append(key if default is inspect.Parameter.empty else f"{key}={value!r}")
        lines.append(f"  {name}({', '.join(arguments)})\n      {_first_line(cls)}")
    return [*lines, ""]


def _first_line(cls: type) -> str:
    return (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")


# ---- YAML as a person means it ---------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """safe_load with YAML 1.2's scalars: only true and false are booleans, 1e-4 is a number; a key stands once."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"line {node.start_mark.line + 1}: the key {key!r} stands twice. Keep one of them.")
        return super().construct_mapping(node, deep)


_BOOL, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOL, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def load_yaml(source: Path | str) -> dict[str, Any]:
    """The mapping in a YAML file (or, given a str, in a YAML text), read safely.

    Raises:
        ConfigError: no such file, too large, not YAML, a key twice, or not a mapping.
    """
    value = parse_yaml(source)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f"a configuration must be a mapping of names to values, but this is {_say(value)}.")
    return value


def parse_yaml(source: Path | str) -> Any:
    """Any YAML value, as :func:`load_yaml` reads it; for the values of the command line."""
    if isinstance(source, Path):
        try:
            size, text = source.stat().st_size, ""
            if size <= MAX_BYTES:
                text = source.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{source}: cannot be read ({error}).") from error
    else:
        size, text = len(source), source
    if size > MAX_BYTES:
        raise ConfigError(f"{size} bytes are too many for a configuration (at most {MAX_BYTES}).")
    depth = 0
    for bracket in re.findall(r"[\[{}\]]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_BRACKETS:
            raise ConfigError(f"more than {MAX_BRACKETS} YAML brackets are open at once, too many for a configuration.")
    try:
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=_Loader))
        if aliases > MAX_ALIASES:
            raise ConfigError(f"{aliases} YAML aliases are too many (at most {MAX_ALIASES}).")
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"not valid YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise ConfigError("YAML nested too deeply for a configuration.") from None


# ---- filling in: names, defaults, booleans ---------------------------------------------------------------------------


def _fill(value: Any, hint: Any, where: str) -> Any:
    """`value` in the full form that `hint` asks for; names are checked here, types of numbers and strings by
    jsonargparse."""
    options, may_be_null = _options(hint)
    if value is None and may_be_null:
        return None
    for option in options:
        if _is_plugin(option):
            return _fill_plugin(value, option, where)
        if _is_group(option):
            return _fill_group(value, option, where)
    origin = get_origin(options[0])
    if origin is dict:
        return _fill_dict(value, get_args(options[0])[1], where)
    if options == [bool] and isinstance(value, str) and value.lower() in _WORDS:
        return _WORDS[value.lower()]
    if options == [str] and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if options[0] is float and len(options) == 1 and isinstance(value, bool):
        raise ConfigError(f"{where}: a number is wanted, but got {_say(value)}.")
    if origin is list and len(options) == 1 and not isinstance(value, (list, tuple)):
        return [value]  # one value where several may stand
    return list(value) if isinstance(value, tuple) else value


_WORDS = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}


def _fill_group(value: Any, group: Any, where: str) -> dict[str, Any]:
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: a group of settings is wanted, but got {_say(value)}.")
    hints = _hints(group)
    for key in value:
        if key not in hints:
            raise _unknown(f"{where}.{key}".lstrip("."), key, hints, "setting")
    filled = {}
    for item in dataclasses.fields(group):
        given = value[item.name] if item.name in value else _plain(_default(item))
        filled[item.name] = _fill(given, hints[item.name], f"{where}.{item.name}".lstrip("."))
    return filled


def _fill_dict(value: Any, hint: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: a mapping of names is wanted, but got {_say(value)}.")
    # null removes an entry: a level of a sweep can take a loss away. By name, since the order of a file means nothing.
    return {str(k): _fill(value[k], hint, f"{where}.{k}") for k in sorted(value, key=str) if value[k] is not None}


def _fill_plugin(value: Any, base: type, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"class_path": value}
    if isinstance(value, base):
        value = _plain(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("class_path"), str):
        raise ConfigError(
            f"{where}: a {base.__name__} is wanted, by name or as {{class_path: ..., init_args: {{...}}}}, but got "
            f"{_say(value)}. Known: {', '.join(known(base))}."
        )
    cls = _find(value["class_path"], base, where)
    given = {k: v for k, v in value.items() if k not in ("class_path", "init_args")}
    init_args = value.get("init_args") or {}
    if not isinstance(init_args, Mapping):
        raise ConfigError(f"{where}.init_args: arguments by name are wanted, but got {_say(init_args)}.")
    given = {**init_args, **given}
    parameters = _parameters(cls)
    for key in given:
        if key not in parameters:
            raise _unknown(f"{where}.{key}", key, parameters, f"argument of {cls.__name__}")
    filled = {}
    for key, (hint, default) in parameters.items():
        if key not in given and default is inspect.Parameter.empty:
            raise ConfigError(f"{where}: {cls.__name__} needs the argument {key!r}.")
        filled[key] = _fill(given[key] if key in given else _plain(default), hint, f"{where}.{key}")
    return {"class_path": _name(cls, base), "init_args": filled}


def _find(name: str, base: type, where: str) -> type:
    classes = known(base)
    if name in classes:
        return classes[name]
    for cls in classes.values():
        if name == _dotted(cls):
            return cls
    module = name.rpartition(".")[0]
    if module and not module.startswith("workbench.") and not any(_below(module, m) for m in _allowed):
        raise ConfigError(
            f"{where}: classes from {module!r} are not allowed here. If you trust that module, name it: --plugin "
            f"{module}."
        )
    raise _unknown(where, name, classes, f"{base.__name__}")


def _unknown(where: str, name: str, choices: Iterable[str], kind: str) -> ConfigError:
    choices = list(choices)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    lower = {choice.lower(): choice for choice in choices}
    if not close and name.lower() in lower:
        close = [lower[name.lower()]]
    hint = f" Did you mean {close[0]}?" if close else ""
    return ConfigError(f"{where}: no {kind} {name!r}.{hint} Known: {', '.join(choices) or 'none'}.")


# ---- overrides -------------------------------------------------------------------------------------------------------


def _put(node: Any, hint: Any, parts: Sequence[str], value: Any, where: str) -> Any:
    """`node`, of type `hint`, with `value` put at the place that `parts` names below it. A filled-in node stays filled
    in."""
    options, _ = _options(hint)
    plugin = next((option for option in options if _is_plugin(option)), None)
    if parts and parts[0] == "init_args" and plugin is not None:
        parts = parts[1:]  # model.trajectory.init_args.states and model.trajectory.states are the same place
        if not parts and not isinstance(value, Mapping):
            raise ConfigError(f"{where}.init_args: arguments by name are wanted, but got {_say(value)}.")
    if not parts:
        if not isinstance(value, Mapping) or "class_path" in value or not isinstance(node, dict):
            return value
        for name, item in value.items():  # a mapping changes what is there, name by name
            node = _put(node, hint, str(name).split("."), item, where)
        return node
    if node is None:
        raise ConfigError(f"{where} is switched off. Switch it on first, for example `{where}: {_example(plugin)}`.")
    head, rest, below = parts[0], parts[1:], f"{where}.{parts[0]}".lstrip(".")
    if plugin is not None:
        if isinstance(node, str) or "init_args" not in node:  # an earlier override put a new plug-in here
            node = _fill_plugin(node, plugin, where)
        if head == "class_path":
            return {"class_path": value}
        parameters = _parameters(_find(node["class_path"], plugin, where))
        if head not in parameters:
            raise _unknown(below, head, parameters, f"argument of {node['class_path']}")
        arguments = node["init_args"]
        return {
            **node,
            "init_args": {**arguments, head: _put(arguments[head], parameters[head][0], rest, value, below)},
        }
    if _is_group(options[0]):
        hints = _hints(options[0])
        if head not in hints:
            raise _unknown(below, head, hints, "setting")
        return {**node, head: _put(node[head], hints[head], rest, value, below)}
    if get_origin(options[0]) is dict:
        entry = _put(node.get(head), get_args(options[0])[1], rest, value, below)
        return {k: v for k, v in {**node, head: entry}.items() if v is not None}
    raise ConfigError(f"{below}: {where} is {_say(node)}, which has no parts.")


def _example(plugin: type | None) -> str:
    return next(iter(known(plugin)), "...") if plugin is not None else "..."


# ---- checking and building -------------------------------------------------------------------------------------------


def _validated(filled: dict[str, Any]) -> dict[str, Any]:
    """Types of all numbers, words and lists, by jsonargparse: 1 becomes 1.0 where a float is wanted."""
    import jsonargparse

    def parse(config: dict[str, Any]) -> dict[str, Any]:
        try:
            return _parser().parse_object(_full_names(config, Config)).as_dict()
        except (jsonargparse.ArgumentError, TypeError, ValueError) as error:
            raise ConfigError(_readable(str(error))) from None

    losses = filled["model"]["losses"]
    for name, loss in losses.items():  # one by one, since jsonargparse does not say which entry of a mapping is wrong
        try:
            parse({**filled, "model": {**filled["model"], "losses": {name: loss}}})
        except ConfigError as error:
            raise ConfigError(str(error).replace("model.losses.", f"model.losses.{name}.", 1)) from None
    return parse(filled)


@cache
def _parser() -> Any:
    import jsonargparse

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Config)
    return parser


def _readable(message: str) -> str:
    """jsonargparse's nested report as one line: the path, and the innermost complaint."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    where = ".".join(re.findall(r'[Kk]ey "([^"]+)"', message)).replace("init_args.", "")
    given = next((line.split(": ", 1)[1] for line in lines if line.startswith("Given value:")), None)
    wanted = next((line.split(": ", 1)[1] for line in lines if line.startswith("Subtypes:")), None)
    if wanted is not None:
        wanted = re.sub(r"<class '([^']+)'>", r"\1", wanted).replace("NoneType", "null").strip("[]")
        return f"{where}: one of {wanted} is wanted, but got {given}."
    last = re.sub(r"<class '([^']+)'>", r"\1", lines[-1])
    last = re.sub(r"Expected an? (?:typing\.Literal\[(.*)\]|(.*))\. Got value: ", _wanted, last)
    return f"{where}: {last}" if where else " ".join(lines)


def _wanted(found: re.Match) -> str:
    words, kind = found.groups()
    return f"{f'one of {words}' if words else kind} is wanted, but got "


def _full_names(node: Any, hint: Any) -> Any:
    """The same configuration with dotted class paths: jsonargparse imports what it is given, so it gets no choice."""
    options, _ = _options(hint)
    for option in options:
        if isinstance(node, dict) and _is_plugin(option):
            cls = _find(node["class_path"], option, "")
            hints = {key: hint for key, (hint, _) in _parameters(cls).items()}
            init_args = {key: _full_names(value, hints[key]) for key, value in node["init_args"].items()}
            return {"class_path": _dotted(cls), "init_args": init_args}
        if isinstance(node, dict) and _is_group(option):
            return {key: _full_names(value, _hints(option)[key]) for key, value in node.items()}
        if isinstance(node, dict) and get_origin(option) is dict:
            return {key: _full_names(value, get_args(option)[1]) for key, value in node.items()}
    return node


def _build(node: Any, hint: Any, where: str) -> Any:
    """The object of a filled-in node."""
    options, _ = _options(hint)
    for option in options:
        if isinstance(node, dict) and _is_plugin(option):
            cls = _find(node["class_path"], option, where)
            parameters = _parameters(cls)
            arguments = {k: _build(v, parameters[k][0], f"{where}.{k}") for k, v in node["init_args"].items()}
            try:
                return cls(**arguments)
            except ConfigError:
                raise
            except (ValueError, TypeError) as error:
                raise ConfigError(f"{where}: {error}") from error
        if isinstance(node, dict) and _is_group(option):
            hints = _hints(option)

            return option(**{k: _build(v, hints[k], f"{where}.{k}".lstrip(".")) for k, v in node.items()})
        if isinstance(node, dict) and get_origin(option) is dict:
            return {k: _build(v, get_args(option)[1], f"{where}.{k}") for k, v in node.items()}
        if isinstance(node, list) and get_origin(option) is tuple:
            return tuple(node)
    return node


def _check(config: Config) -> None:
    """Rules across settings; those that need the teacher are checked when it is loaded."""
    model, train = config.model, config.train
    if not model.losses:
        raise ConfigError("model.losses: no loss is left, so nothing would be trained. Keep one of them.")
    if not model.num_steps or min(model.num_steps) < 1:
        raise ConfigError(f"model.num_steps: numbers of steps of at least 1 are wanted, but got {model.num_steps}.")
    if not 0 <= model.ema.decay < 1:
        raise ConfigError(f"model.ema.decay must be at least 0 and below 1, but got {model.ema.decay}.")
    ratios = [name for name, loss in model.losses.items() if loss.gradient_ratio is not None]
    if len(ratios) == len(model.losses):
        raise ConfigError(
            f"model.losses.{ratios[0]}.gradient_ratio compares with the losses that have a fixed weight, but there is "
            "none. Set it to null and give a weight."
        )
    asks = [f"model.losses.{name}" for name, loss in model.losses.items() if loss.needs_images]
    asks += ["model.trajectory"] if model.trajectory.needs_images else []
    if asks and not config.data.has_images:
        raise ConfigError(
            f"{asks[0]}: real images are needed, but data: {type(config.data).__name__} has captions only. Use "
            "Backward without a loss on real data, or a source with images."
        )
    for name, least in _LEAST.items():
        value = getattr(train, name)
        if value is not None and not value >= least:
            raise ConfigError(f"train.{name} must be at least {least}, but got {value}.")
    for name in ("learning_rate", "gradient_clip"):
        value = getattr(train, name)
        if value is not None and not value > 0:
            raise ConfigError(f"train.{name} must be above 0, but got {value}.")
    processes = train.devices * train.num_nodes
    if train.batch_size % processes:
        raise ConfigError(
            f"train.batch_size is the batch over all processes: {train.batch_size} cannot be split over {processes} "
            f"(devices x num_nodes). Use a multiple of {processes}."
        )


_LEAST = {
    "student_updates": 1,
    "batch_size": 1,
    "warmup_updates": 0,
    "devices": 1,
    "num_nodes": 1,
    "threads": 1,
    "checkpoint_minutes": 0,
    "log_every": 1,
    "sample_every": 0,
    "sample_prompts": 1,
    "reference_samples": 0,
    "probe_every": 0,
    "probe_samples": 1,
}


# ---- types and classes -----------------------------------------------------------------------------------------------


def _options(hint: Any) -> tuple[list[Any], bool]:
    """The types a value may have, without None, and whether it may be None."""
    if get_origin(hint) in (Union, types.UnionType):
        members = get_args(hint)
        return [m for m in members if m is not type(None)], type(None) in members
    return [hint], False


def _is_plugin(hint: Any) -> bool:
    # not issubclass(): any class that registers itself with some abstract class passes that, int and float among them
    return inspect.isclass(hint) and ABC in hint.__mro__


def _is_group(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) and not _is_plugin(hint)


@cache
def _hints(group: Any) -> dict[str, Any]:
    return get_type_hints(group)


@cache
def _parameters(cls: Any) -> dict[str, tuple[Any, Any]]:
    """name -> (type, default) of the arguments of a plug-in's constructor."""
    is_data = dataclasses.is_dataclass(cls)
    hints = get_type_hints(cls if is_data else cls.__init__)
    fields = {item.name: item for item in dataclasses.fields(cls)} if is_data else {}
    found = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        # the signature hides what a default_factory makes
        found[name] = (hints[name], _default(fields[name]) if name in fields else parameter.default)
    return found


def _default(item: Any) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return inspect.Parameter.empty if item.default is dataclasses.MISSING else item.default


def _plain(value: Any) -> Any:
    """Objects as plain data: frozen dataclasses and losses become {class_path, init_args}, tuples lists."""
    if isinstance(value, Mapping):
        if isinstance(value.get("class_path"), str) and not value.keys() - {"class_path", "init_args"}:
            name = value["class_path"]
            short = name.rpartition(".")[2] if name.startswith("workbench.") else name
            return {"class_path": short, "init_args": _plain(value.get("init_args") or {})}
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if _is_plugin(type(value)):
        arguments = {name: _plain(getattr(value, name)) for name in _parameters(value.__class__)}
        return {"class_path": _dotted(type(value)), "init_args": arguments}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return value


def _subclasses(base: type) -> list[type]:
    found: list[type] = [base]
    children: list[type] = base.__subclasses__()
    for cls in children:
        found += [c for c in _subclasses(cls) if c not in found]
    return found


def _dotted(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _name(cls: type, base: type) -> str:
    return next(name for name, other in known(base).items() if other is cls) if _is_ours(cls) else _dotted(cls)


def _is_ours(cls: type) -> bool:
    return _below(cls.__module__, "workbench")


def _is_allowed(cls: type) -> bool:
    return _is_ours(cls) or any(_below(cls.__module__, module) for module in _allowed)


def _below(module: str, parent: str) -> bool:
    return module == parent or module.startswith(parent + ".")


def _check_plugins(modules: Any) -> None:
    for module in modules if isinstance(modules, (list, tuple)) else [modules]:
        if module not in _allowed:
            raise ConfigError(
                f"plugins: the configuration wants the module {module!r}, which is code that would run here. "
                f"If you trust it, name it yourself: --plugin {module}."
            )


def _say(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
