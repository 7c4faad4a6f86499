"""What a sweep file says, checked as far as its own words go. Whether a level is a class is the parser's question."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from workbench.study.budget import check_budget, parse_budget
from workbench.study.config_file import with_files
from workbench.study.errors import SweepError, did_you_mean, shown
from workbench.study.facts import parse_columns
from workbench.study.metric_names import check_direction, check_metric
from workbench.study.names import slug
from workbench.study.overrides import overlap
from workbench.study.primary import parse_primary
from workbench.study.reading import as_name, read_yaml
from workbench.study.restriction import OnlyAt, parse_only_at
from workbench.study.selecting import Select, parse_select

KEYS = (
    "question",
    "base",
    "set",
    "factors",
    "baseline",
    "design",
    "arms",
    "seeds",
    "evaluate",
    "references",
    "metrics",
    "primary",
    "budget",
    "select",
    "only_at",
    "columns",
    "run",
)
MAX_SEEDS = 1_000

Overrides = Mapping[str, Any]  # dotted key of the configuration -> value
Levels = Mapping[str, str]  # factor -> level


@dataclass(frozen=True)
class Factor:
    """One switch. `under` names the levels of other factors that it needs; without them it does not exist."""

    name: str
    levels: Mapping[str, Overrides]
    under: Levels = field(default_factory=dict)

    def exists(self, levels: Levels) -> bool:
        """Whether these levels hold what the factor needs."""
        return all(levels.get(parent) == level for parent, level in self.under.items())


@dataclass(frozen=True)
class Run:
    """How a cell is run. hours: its deadline, None for none; retries: further attempts after a failure."""

    devices: int = 1
    hours: float | None = None
    retries: int = 2
    launch: tuple[str, ...] = ()  # a prefix of the child's command, as `srun --ntasks=2`
    keep_checkpoints: bool = False  # of cells that are complete; they are many times as large as the student


@dataclass(frozen=True)
class SweepFile:
    """A sweep file as it was written, its names checked and its defaults filled in."""

    path: Path
    name: str
    question: str
    base: Path
    set: Overrides
    factors: tuple[Factor, ...]
    baseline: Levels  # factor -> level
    baseline_arm: str | None  # `baseline: NAME` where there are no factors
    design: str
    arms: Mapping[str, Mapping[str, Any]]  # name -> {factor: level} and {dotted key: value}, mixed
    seeds: tuple[int, ...]
    evaluate: tuple[Factor, ...]
    references: Mapping[str, Overrides]
    metrics: Mapping[str, str]  # name -> "min", "max" or "zero"; the first one is the objective
    run: Run
    primary: Mapping[str, str] = field(default_factory=dict)  # factor or arm -> its one primary metric
    budget: float | None = None  # network passes of every training
    select: Select | None = None  # how a cell's checkpoint is chosen
    columns: tuple[str, ...] = ()  # facts of a row beside its metrics
    only_at: OnlyAt = field(default_factory=dict)  # arms that are scored under some evaluations alone


def read_sweep(path: Path) -> SweepFile:
    """Read and check a sweep file. SweepError, with file, key and remedy, for whatever is wrong with it."""
    return parse_sweep(read_yaml(path), path)


def parse_sweep(raw: Mapping[str, Any], path: Path, evaluated: bool = True) -> SweepFile:
    """As `read_sweep`, for a mapping that was read from `path`.

    evaluated: False where `set` is used without `evaluate` as well, as by the trials of a search.
    """
    for key in raw:
        if key not in KEYS:
            raise SweepError(f"{path}: there is no key {key!r}.{did_you_mean(key, (*KEYS, 'search'))}")
    check_budget(raw, path)
    factors = _factors(raw.get("factors"), f"{path}, factors", path.parent)
    evaluate = _factors(raw.get("evaluate"), f"{path}, evaluate", path.parent)
    _check_factors(factors, f"{path}, factors")
    _check_factors(evaluate, f"{path}, evaluate")
    if both := {f.name for f in factors} & {f.name for f in evaluate}:
        raise SweepError(
            f"{path}: {', '.join(sorted(both))} stands under factors and under evaluate. One name, one factor."
        )
    for factor in evaluate:
        for level, overrides in factor.levels.items():
            for key in overrides:
                if not key.startswith("evaluation."):
                    raise SweepError(
                        f"{path}, evaluate.{factor.name}.{level}: {key} is not a key of the evaluation, so it would "
                        "need "
                        "another training. Make it a factor."
                    )
    baseline, baseline_arm = _baseline(raw.get("baseline"), factors, path)
    arms = _named_overrides(raw.get("arms"), f"{path}, arms", "The arm", path.parent)
    base = Path(os.path.expanduser(_text(raw, "base", path, required=True)))
    metrics = _metrics(raw.get("metrics"), path)
    sweep = SweepFile(
        path=path,
        name=slug(path.stem, "The study"),
        question=_text(raw, "question", path),
        base=base if base.is_absolute() else path.parent / base,
        set=_overrides(raw.get("set"), f"{path}, set", path.parent),
        factors=factors,
        baseline=baseline,
        baseline_arm=baseline_arm,
        design=_text(raw, "design", path) or ("one_at_a_time" if factors else "none"),
        arms=arms,
        seeds=_seeds(raw.get("seeds", 5), path),
        evaluate=evaluate,
        references=_named_overrides(raw.get("references"), f"{path}, references", "The reference", path.parent),
        metrics=metrics,
        run=_run(raw.get("run"), path),
        primary=parse_primary(raw.get("primary"), metrics, path),
        budget=parse_budget(raw.get("budget"), path),
        select=parse_select(raw.get("select"), metrics, path),
        columns=parse_columns(raw.get("columns"), path),
        only_at=parse_only_at(raw.get("only_at"), factors, arms, evaluate, path),
    )
    try:
        there = sweep.base.is_file()
    except OSError:  # longer than a name can be
        there = False
    if not there:
        raise SweepError(f"{path}, base: there is no file {str(sweep.base)[:200]}.")
    if not factors and not arms:
        raise SweepError(f"{path}: there is nothing to compare. Give factors with levels, or arms.")
    _check_set(sweep, (*factors, *(evaluate if evaluated else ())))
    return sweep


def _text(raw: Mapping[str, Any], key: str, path: Path, required: bool = False) -> str:
    value = raw.get(key)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not value.strip():
        raise SweepError(f"{path}, {key}: must be a text, but is {shown(value)}.")
    return " ".join(value.split())


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SweepError(f"{where}: must be a mapping (name: value), but is {shown(value)}.")
    return value


def _overrides(value: Any, where: str, folder: Path) -> Overrides:
    result = _mapping(value, where)
    for key in result:
        if not all(part.replace("_", "a").replace("-", "a").isalnum() for part in key.split(".")):
            raise SweepError(f"{where}: {key!r} is no key of the configuration, as in train.batch_size.")
    for a, b in combinations(result, 2):
        if overlap(a, b):
            raise SweepError(f"{where}: {a} and {b} write the same key.")
    return with_files(result, where, folder)


def _named_overrides(value: Any, where: str, what: str, folder: Path) -> dict[str, Overrides]:
    named = _mapping(value, where).items()
    return {slug(name, what): _overrides(child, f"{where}.{name}", folder) for name, child in named}


def _factors(value: Any, where: str, folder: Path) -> tuple[Factor, ...]:
    factors = []
    for name, levels in _mapping(value, where).items():
        slug(name, f"{where}: the factor")
        if "." in name:
            raise SweepError(
                f"{where}.{name}: a factor's name has no dot; keys of the configuration stand under its levels."
            )
        levels = dict(_mapping(levels, f"{where}.{name}"))
        under = {k: as_name(v) for k, v in _mapping(levels.pop("under", None), f"{where}.{name}.under").items()}
        if not levels:
            raise SweepError(f"{where}.{name}: a factor needs levels, each with its overrides ({{}} for none).")
        parsed = {}
        for level, overrides in levels.items():
            slug(level, f"{where}.{name}: the level")
            parsed[level] = _overrides(overrides, f"{where}.{name}.{level}", folder)
        factors.append(Factor(name, parsed, under))
    return tuple(factors)


def _check_factors(factors: tuple[Factor, ...], where: str) -> None:
    known: dict[str, Factor] = {}
    for factor in factors:
        for parent, level in factor.under.items():
            if parent not in known:
                raise SweepError(
                    f"{where}.{factor.name}.under: there is no factor {parent!r} before it."
                    f"{did_you_mean(parent, known)}"
                )
            if level not in known[parent].levels:
                raise SweepError(
                    f"{where}.{factor.name}.under: {parent} has no level {level!r}."
                    f"{did_you_mean(level, known[parent].levels)}"
                )
        known[factor.name] = factor
    for a, b in combinations(factors, 2):
        if any(b_level != a.under.get(parent, b_level) for parent, b_level in b.under.items()):
            continue  # they exist under different levels, hence never together
        _check_pair(a, b, where)


def _check_pair(a: Factor, b: Factor, where: str) -> None:
    """Two factors write apart, except that a conditional factor may set what lies under its parent's key."""
    for level_a, overrides_a in a.levels.items():
        if b.under.get(a.name, level_a) != level_a:
            continue
        for level_b, overrides_b in b.levels.items():
            for key_a in overrides_a:
                for key_b in overrides_b:
                    deeper = a.name in b.under and key_b.startswith(key_a + ".")
                    if overlap(key_a, key_b) and not deeper:
                        keys = key_a if key_a == key_b else f"{key_a} and {key_b}"
                        raise SweepError(
                            f"{where}: {a.name}.{level_a} and {b.name}.{level_b} write the same key, {keys}: which "
                            "of them "
                            f"decides? Keep it in one factor, or put {b.name} `under: {{{a.name}: {level_a}}}`."
                        )


def _check_set(sweep: SweepFile, factors: tuple[Factor, ...]) -> None:
    for factor in factors:
        for key in sweep.set:
            if all(key in overrides for overrides in factor.levels.values()):
                raise SweepError(
                    f"{sweep.path}, set.{key}: every level of {factor.name} writes it too, so that the value here is "
                    "never "
                    "used. Remove one of them."
                )


def _baseline(value: Any, factors: tuple[Factor, ...], path: Path) -> tuple[Levels, str | None]:
    if isinstance(value, str) and not factors:
        return {}, value
    given = {k: as_name(v) for k, v in _mapping(value, f"{path}, baseline").items()}
    known = {factor.name: factor for factor in factors}
    for name, level in given.items():
        if name not in known:
            raise SweepError(f"{path}, baseline: there is no factor {name!r}.{did_you_mean(name, known)}")
        if level not in known[name].levels:
            raise SweepError(
                f"{path}, baseline.{name}: there is no level {level!r}.{did_you_mean(level, known[name].levels)}"
            )
        if not known[name].exists(given):
            raise SweepError(f"{path}, baseline.{name}: exists only under {dict(known[name].under)}.")
    for factor in factors:
        if factor.exists(given) and factor.name not in given:
            raise SweepError(f"{path}, baseline: names no level of {factor.name}.{did_you_mean('', factor.levels)}")
    return given, None


def _seeds(value: Any, path: Path) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SEEDS:
        return tuple(range(value))
    if isinstance(value, list) and value and all(_is_seed(seed) for seed in value) and len(set(value)) == len(value):
        return tuple(value)
    raise SweepError(
        f"{path}, seeds: must be a number of seeds from 1 to {MAX_SEEDS}, or a list of different ones, but is "
        f"{shown(value)}."
    )


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _metrics(value: Any, path: Path) -> dict[str, str]:
    metrics = {name: as_name(direction) for name, direction in _mapping(value, f"{path}, metrics").items()}
    if not metrics:
        raise SweepError(
            f"{path}, metrics: name at least one, with min or max: {{'FD[judge]': min}}. The first is the objective."
        )
    for name, direction in metrics.items():
        try:
            check_metric(name)
            check_direction(name, direction)
        except ValueError as error:
            raise SweepError(f"{path}, metrics: {error}") from error
    if metrics[first := next(iter(metrics))] == "zero":
        raise SweepError(f"{path}, metrics.{first}: the first metric is the objective and must be min or max.")
    return metrics


def _run(value: Any, path: Path) -> Run:
    raw = _mapping(value, f"{path}, run")
    known = ("devices", "hours", "retries", "launch", "keep_checkpoints")
    for key in raw:
        if key not in known:
            raise SweepError(f"{path}, run: there is no key {key!r}.{did_you_mean(key, known)}")
    devices, hours, retries, launch = raw.get("devices", 1), raw.get("hours"), raw.get("retries", 2), raw.get("launch")
    if not _whole(devices) or not 1 <= devices <= 4_096:
        raise SweepError(f"{path}, run.devices: must be a whole number from 1, but is {shown(devices)}.")
    if hours is not None and (isinstance(hours, bool) or not isinstance(hours, int | float) or not hours > 0):
        raise SweepError(f"{path}, run.hours: must be hours a cell, above 0, but is {shown(hours)}.")
    if not _whole(retries) or not 0 <= retries <= 100:
        raise SweepError(f"{path}, run.retries: must be a whole number from 0 to 100, but is {shown(retries)}.")
    words: Iterable[Any] = launch.split() if isinstance(launch, str) else launch or ()
    if not all(isinstance(word, str) for word in words):
        raise SweepError(f"{path}, run.launch: must be a command's words, but is {shown(launch)}.")
    keep = {"true": True, "on": True, "false": False, "off": False}.get(str(raw.get("keep_checkpoints", False)).lower())
    if keep is None:
        raise SweepError(f"{path}, run.keep_checkpoints: must be on or off, but is {shown(raw['keep_checkpoints'])}.")
    return Run(devices, None if hours is None else float(hours), retries, tuple(words), keep)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
