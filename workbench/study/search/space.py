"""The space of a search, read from its file, and what can be asked of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from workbench.study.errors import SweepError, did_you_mean, shown
from workbench.study.names import slug
from workbench.study.overrides import merged
from workbench.study.reading import as_name
from workbench.study.search.parameters import Choice, Number, Parameter, Value
from workbench.study.sweep_file import _check_factors as check_factors
from workbench.study.sweep_file import _overrides as check_overrides

Values = Mapping[str, Value]  # parameter -> value; only those that exist
MOST = 2.0**53  # in size, of a bound: what a float counts exactly
MAX_CHOICES = 1_000
MAX_CORNERS = 32  # combinations of extremes; beyond, one parameter at a time
NUMBER_KEYS = ("low", "high", "log", "step", "key", "under")
CHOICE_KEYS = ("choices", "key", "under")
# A trial and its confirmation differ in these; a search cannot choose them.
RESERVED = ("seed", "evaluation", "plugins", "train.devices", "train.num_nodes")


@dataclass(frozen=True)
class Space:
    """The parameters in the order of the file, which is the order in which they write."""

    parameters: tuple[Parameter, ...]

    def overrides(self, values: Values) -> dict[str, Any]:
        """What a point of the space writes into the configuration."""
        return merged(*(p.overrides(values[p.name]) for p in self.parameters if p.name in values))

    def corners(self) -> list[dict[str, Value]]:
        """Points whose parameters are at their extremes: all combinations, or, of more than 32, one at a time.

        Each bound and each choice occurs at least once, under the choices that it needs.
        """
        every = list(islice(self._combinations([p.extremes() for p in self.parameters]), MAX_CORNERS + 1))
        if len(every) <= MAX_CORNERS:
            return every
        lows = {p.name: p.extremes()[0] for p in self.parameters}
        highs = {p.name: p.extremes()[-1] for p in self.parameters}
        wanted = [lows, highs] + [
            {**lows, p.name: value, **self._needs(p)} for p in self.parameters for value in p.extremes()
        ]
        found: list[dict[str, Value]] = []
        for point in wanted:
            existing = self._existing(point)
            found += [] if existing in found else [existing]
        return found

    def holds(self, values: Values) -> bool:
        """Whether these are a point of the space: a value of its kind for each parameter that exists, and no other."""
        existing = {p.name: p for p in self.parameters if p.name in values and p.exists(values)}
        missing = any(p.exists(values) and p.name not in values for p in self.parameters)
        kinds = (
            values[name] in p.levels if isinstance(p, Choice) else _is_number(values[name])
            for name, p in existing.items()
        )
        return set(existing) == set(values) and not missing and all(kinds)

    def points(self) -> Iterator[dict[str, Value]] | None:
        """Every point, None where there are infinitely many."""
        values = [p.all_values() for p in self.parameters]
        if any(v is None for v in values):
            return None
        return self._combinations([tuple(v or ()) for v in values])

    def size(self, most: int = 100_000) -> int | None:
        """The number of points, counted up to `most`; None where there are infinitely many."""
        points = self.points()
        return None if points is None else sum(1 for _ in islice(points, most))

    def _combinations(self, values: list[tuple[Value, ...]]) -> Iterator[dict[str, Value]]:
        """All points over these values, each once: a parameter that does not exist makes no difference."""
        return self._below({}, 0, values)

    def _below(self, chosen: dict[str, Value], index: int, values: list[tuple[Value, ...]]) -> Iterator[dict]:
        if index == len(self.parameters):
            yield chosen
            return
        parameter = self.parameters[index]
        if not parameter.exists(chosen):
            yield from self._below(chosen, index + 1, values)
            return
        for value in values[index]:
            yield from self._below({**chosen, parameter.name: value}, index + 1, values)

    def _needs(self, parameter: Parameter) -> dict[str, str]:
        """The choices under which the parameter exists, those of its parents among them."""
        needs = dict(parameter.under)
        for parent in (p for p in self.parameters if p.name in parameter.under):
            needs |= self._needs(parent)
        return needs

    def _existing(self, point: Mapping[str, Value]) -> dict[str, Value]:
        chosen: dict[str, Value] = {}
        for parameter in self.parameters:
            if parameter.exists(chosen):
                chosen[parameter.name] = point[parameter.name]
        return chosen


def parse_space(raw: Any, where: str, folder: Path) -> Space:
    """The space of a file in `folder`. SweepError, with place and remedy, for whatever is wrong with it."""
    if not isinstance(raw, dict) or not raw:
        raise SweepError(f"{where}: name at least one parameter, as train.learning_rate: {{low: 1e-4, high: 1e-3}}.")
    space = Space(tuple(_parameter(name, spec, f"{where}.{name}", folder) for name, spec in raw.items()))
    check_factors(tuple(parameter.factor() for parameter in space.parameters), where)
    for parameter in space.parameters:
        for key in (key for value in parameter.extremes() for key in parameter.overrides(value)):
            if any(key == name or key.startswith(f"{name}.") for name in RESERVED):
                raise SweepError(
                    f"{where}.{parameter.name}: a search cannot choose {key}. What is trained and how is its subject; "
                    "seed, prompts and devices are the same for all trials."
                )
    return space


def _parameter(name: str, spec: Any, where: str, folder: Path) -> Parameter:
    if not isinstance(spec, dict):
        raise SweepError(f"{where}: needs bounds, {{low: 0.5, high: 1.0}}, or {{choices: [...]}}, but is {spec!r}.")
    known = CHOICE_KEYS if "choices" in spec else NUMBER_KEYS
    for key in spec:
        if key not in known:
            raise SweepError(f"{where}: there is no key {key!r}.{did_you_mean(key, known)}")
    if "." not in name:
        slug(name, f"{where}: the parameter")
    elif "key" in spec or "choices" in spec:  # otherwise the name is a key of the configuration, and checked as one
        check_overrides({name: 0}, where, folder)
    under = spec.get("under") or {}
    if not isinstance(under, dict):
        raise SweepError(f"{where}.under: must name a parameter and its choice, but is {under!r}.")
    under = {parent: as_name(level) for parent, level in under.items()}
    if "choices" in spec:
        return Choice(name, _levels(name, spec, where, folder), under=under)
    key = _key(name, spec, where)
    check_overrides({key: 0}, where, folder)
    low, high, log, step = (spec.get(word) for word in ("low", "high", "log", "step"))
    for word, value in (("low", low), ("high", high)):
        if not _is_number(value) or not -MOST <= value <= MOST:  # type: ignore[operator]
            raise SweepError(f"{where}.{word}: must be a number up to {MOST:g} in size, but is {shown(value)}.")
    assert low is not None and high is not None
    if not low < high:
        raise SweepError(f"{where}: low must be below high, but they are {low} and {high}.")
    if log not in (None, True, False) and str(log).lower() not in ("on", "off", "yes", "no"):
        raise SweepError(f"{where}.log: must be true or false, but is {log!r}.")
    log = log is True or str(log).lower() in ("on", "yes")
    if log and low <= 0:
        raise SweepError(f"{where}.low: must be above 0 on a logarithmic scale, but is {low}.")
    if step is not None and (not _is_number(step) or step <= 0 or log):
        raise SweepError(f"{where}.step: must be a number above 0, and has no meaning with log.")
    whole = isinstance(low, int) and isinstance(high, int)
    if whole and isinstance(step, float):
        raise SweepError(f"{where}: low and high are whole numbers, but step is not. Write {low}.0 for a real number.")
    return Number(name, key, low if whole else float(low), high if whole else float(high), log, step, under=under)


def _key(name: str, spec: Mapping[str, Any], where: str) -> str:
    key = spec.get("key", name)
    if not isinstance(key, str) or "." not in key:
        raise SweepError(f"{where}: which key of the configuration is this? Add key: train.learning_rate, for example.")
    return key


def _levels(name: str, spec: Mapping[str, Any], where: str, folder: Path) -> dict[str, Any]:
    choices = spec["choices"]
    if isinstance(choices, list) and all(not isinstance(choice, dict | list) for choice in choices):
        key = _key(name, spec, where)
        levels: dict[str, Any] = {as_name(choice): {key: choice} for choice in choices}
        repeated = len(levels) < len(choices)
    elif isinstance(choices, dict) and "key" not in spec:
        levels, repeated = dict(choices), False
    else:
        raise SweepError(
            f"{where}.choices: must be values of a key, [Backward, Forward], or names with their overrides, "
            "{none: {KEY: VALUE}, some: {KEY: VALUE}}."
        )
    if len(levels) > MAX_CHOICES:
        raise SweepError(f"{where}.choices: are {len(levels):,}; {MAX_CHOICES:,} are the most.")
    if len(levels) < 2 or repeated:
        raise SweepError(f"{where}.choices: give at least two different ones.")
    return {
        slug(label, f"{where}: the choice"): check_overrides(overrides, f"{where}.{label}", folder)
        for label, overrides in levels.items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
