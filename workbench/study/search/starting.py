"""`start:` the points of the space that the first trials take, before the sampler proposes any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.study.errors import SweepError, did_you_mean
from workbench.study.reading import as_name
from workbench.study.search.parameters import Choice, Number, Parameter, Value
from workbench.study.search.space import Space, Values


def parse_starts(raw: Any, space: Space, trials: int, where: str) -> tuple[Values, ...]:
    """A list of points, each with a value for every parameter that exists there.

    SweepError for anything else: a value outside its bounds or choices, a parameter too many or too few, a point twice.
    """
    if raw is None:
        return ()
    if not isinstance(raw, list) or not all(isinstance(point, dict) for point in raw):
        raise SweepError(f"{where}: must be a list of points, [{{learning_rate: 3e-4}}], but is {raw!r}.")
    if len(raw) > trials:
        raise SweepError(f"{where}: has {len(raw)} points for {trials} trials. Remove some, or raise trials.")
    points: list[Values] = []
    for number, given in enumerate(raw):
        point = _point(given, space, f"{where}[{number}]")
        if point in points:
            raise SweepError(
                f"{where}[{number}]: is the same point as [{points.index(point)}], and no point runs twice."
            )
        points.append(point)
    return tuple(points)


def _point(given: Mapping[str, Any], space: Space, where: str) -> Values:
    names = [parameter.name for parameter in space.parameters]
    for name in given:
        if name not in names:
            raise SweepError(f"{where}: there is no parameter {name!r}.{did_you_mean(str(name), names)}")
    point: dict[str, Value] = {}
    for parameter in space.parameters:
        exists, named = parameter.exists(point), parameter.name in given
        if named and not exists:
            needs = ", ".join(f"{parent} = {choice}" for parent, choice in parameter.under.items())
            raise SweepError(f"{where}: {parameter.name} exists only with {needs}. Remove it.")
        if exists and not named:
            raise SweepError(f"{where}: has no value of {parameter.name}, which may be {parameter.words()}.")
        if exists:
            point[parameter.name] = _value(parameter, given[parameter.name], where)
    return point


def _value(parameter: Parameter, value: Any, where: str) -> Value:
    if isinstance(parameter, Choice) and as_name(value) in parameter.levels:
        return as_name(value)
    if isinstance(parameter, Number) and isinstance(value, int | float) and not isinstance(value, bool):
        whole = isinstance(value, int) or not parameter.whole
        if whole and parameter.low <= value <= parameter.high:
            return parameter.rounded(value)
    raise SweepError(f"{where}.{parameter.name}: must be {parameter.words()}, but is {value!r}.")
