"""No experiment twice under two names: arms that are the same, levels that change nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.study.digest import digest
from workbench.study.errors import SweepError
from workbench.study.plan import Row
from workbench.study.sweep_file import Levels, SweepFile

Configs = Sequence[Mapping[str, Any]]  # of one row, under every evaluation


def check_distinct(
    sweep: SweepFile, rows: Sequence[Row], configs: Sequence[Configs], evaluations: Sequence[Levels]
) -> None:
    """No two arms are the same experiment, and no two evaluations are the same for every arm; SweepError otherwise.

    configs: of each row, its configuration under every evaluation; without `train` where nothing is trained.
    """
    seen: dict[str, Row] = {}
    for row, by_evaluation in zip(rows, configs, strict=True):
        key = digest(by_evaluation)
        if key in seen:
            raise SweepError(_sameness(sweep, seen[key], row, "train" in by_evaluation[0]))
        seen[key] = row
    for factor in sweep.evaluate:
        for level in list(factor.levels)[1:]:
            first = next(iter(factor.levels))
            if all(_same_settings(by_row, evaluations, factor.name, first, level) for by_row in configs):
                raise SweepError(
                    f"{sweep.path}, evaluate.{factor.name}: {first} and {level} give the same evaluation for every "
                    "arm. "
                    "A level that changes nothing is a mistake: remove it."
                )


def _same_settings(configs: Configs, evaluations: Sequence[Levels], factor: str, a: str, b: str) -> bool:
    return _select(configs, evaluations, factor, a) == _select(configs, evaluations, factor, b)


def _select(configs: Configs, levels: Iterable[Levels], factor: str, level: str) -> list[str]:
    return [
        digest(config["evaluation"])
        for config, chosen in zip(configs, levels, strict=True)
        if chosen.get(factor) == level
    ]


def _sameness(sweep: SweepFile, first: Row, second: Row, is_trained: bool) -> str:
    changed = [name for name in second.levels if first.levels.get(name) != second.levels[name]]
    if second.name not in sweep.arms and len(changed) == 1 and set(first.levels) == set(second.levels):
        name = changed[0]
        what = "The resolved configuration" if is_trained else "Without a training, the resolved configuration"
        return (
            f"{sweep.path}, factors.{name}.{second.levels[name]}: changes nothing. {what} is that of the level "
            f"{first.levels[name]}. Remove it, or mend its overrides."
        )
    return f"{sweep.path}: the arms {first.label!r} and {second.label!r} are the same experiment. Remove one of them."
