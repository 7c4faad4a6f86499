"""`only_at`: arms that are scored under some evaluations alone, as a student of one number of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.errors import SweepError, did_you_mean, shown
from workbench.study.reading import as_name

if TYPE_CHECKING:
    from workbench.study.plan import Row
    from workbench.study.sweep_file import Factor, Levels

OnlyAt = Mapping[str, Mapping[str, tuple[str, ...]]]  # level or arm -> evaluation factor -> levels


def parse_only_at(
    value: Any, factors: Sequence[Factor], arms: Mapping[str, Any], evaluate: Sequence[Factor], path: Path
) -> dict[str, dict[str, tuple[str, ...]]]:
    """`only_at: {step-distillation-3: {steps: 3}}`: the level of a factor, or an arm -> where it is scored.

    A list names several levels. SweepError for a name that is no level and no arm, and for an evaluation that is none.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SweepError(f"{path}, only_at: must be a mapping (level or arm: {{steps: 3}}), but is {shown(value)}.")
    names = [*(level for factor in factors for level in factor.levels), *arms]
    known = set(names)
    scored = {factor.name: factor for factor in evaluate}
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for given, where in value.items():
        name = as_name(given)
        if name not in known:
            raise SweepError(
                f"{path}, only_at: there is no level or arm {shown(name)}.{did_you_mean(str(name), known)}"
            )
        if names.count(name) > 1:
            raise SweepError(
                f"{path}, only_at.{name}: is a level or arm more than once. Give one of them another name."
            )
        if not isinstance(where, dict) or not where:
            raise SweepError(f"{path}, only_at.{name}: must be a mapping as {{steps: 3}}, but is {shown(where)}.")
        found[name] = {}
        for factor, levels in where.items():
            if factor not in scored:
                raise SweepError(
                    f"{path}, only_at.{name}: there is no evaluation factor {shown(factor)}."
                    f"{did_you_mean(str(factor), scored)}"
                )
            wanted = tuple(as_name(level) for level in (levels if isinstance(levels, list) else [levels]))
            for level in wanted:
                if level not in scored[factor].levels:
                    near = did_you_mean(level, scored[factor].levels)
                    raise SweepError(f"{path}, only_at.{name}.{factor}: there is no level {shown(level)}.{near}")
            found[name][factor] = wanted
    return found


def is_scored(only_at: OnlyAt, row: Row, evaluation: Levels) -> bool:
    """Whether this arm is scored under this evaluation."""
    return all(
        evaluation.get(factor) in levels
        for name in (*row.levels.values(), row.name)
        for factor, levels in only_at.get(name, {}).items()
    )


def check_scored(
    only_at: OnlyAt, rows: Sequence[Row], baseline: str, evaluations: Sequence[Levels], path: Path
) -> None:
    """SweepError where an arm is scored nowhere, or the baseline not everywhere: nothing could be compared there."""
    for row in rows:
        scored = [is_scored(only_at, row, levels) for levels in evaluations]
        if row.name == baseline and not all(scored):
            raise SweepError(f"{path}, only_at: the baseline has to be scored under every evaluation.")
        if not any(scored):
            raise SweepError(f"{path}, only_at: the arm {row.name} is scored under no evaluation at all.")
