"""Types of all values, by jsonargparse, and the rules across settings."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, get_args, get_origin

from workbench.config.classes import (
    constructor_parameters,
    dotted,
    find_class,
    group_hints,
    is_group,
    is_plugin,
    type_options,
)
from workbench.config.errors import ConfigError
from workbench.config.tree import Config
from workbench.snapshots import check_shares


def validated(filled: dict[str, Any]) -> dict[str, Any]:
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
    options, _ = type_options(hint)
    for option in options:
        if isinstance(node, dict) and is_plugin(option):
            cls = find_class(node["class_path"], option, "")
            hints = {key: hint for key, (hint, _) in constructor_parameters(cls).items()}
            init_args = {key: _full_names(value, hints[key]) for key, value in node["init_args"].items()}
            return {"class_path": dotted(cls), "init_args": init_args}
        if isinstance(node, dict) and is_group(option):
            return {key: _full_names(value, group_hints(option)[key]) for key, value in node.items()}
        if isinstance(node, dict) and get_origin(option) is dict:
            return {key: _full_names(value, get_args(option)[1]) for key, value in node.items()}
    return node


def check_rules(config: Config) -> None:
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
    try:
        check_shares(train.snapshots, train.student_updates)
    except ValueError as error:
        raise ConfigError(f"train.snapshots: {error}") from error
    snapshot = config.evaluation.snapshot
    if snapshot not in (None, 1, *train.snapshots):
        raise ConfigError(
            f"evaluation.snapshot: {snapshot:g} is none of train.snapshots ({train.snapshots}), so that no such "
            "student is kept. Add it there, or use null for the student at the end."
        )
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
