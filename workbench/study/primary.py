"""One primary metric a switch, named in the sweep file before it runs; everything else in the table is secondary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.errors import SweepError, did_you_mean

if TYPE_CHECKING:
    from workbench.study.plan import Row
    from workbench.study.sweep_file import SweepFile


def parse_primary(value: Any, metrics: Mapping[str, str], path: Path) -> dict[str, str]:
    """`primary: {discriminator: FD[judge]}`: a factor's or an arm's name -> one of the file's metrics.

    SweepError for a metric that the table does not have.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SweepError(f"{path}, primary: must be a mapping (factor or arm: metric), but is {value!r}.")
    for name, metric in value.items():
        if metric not in metrics:
            near = did_you_mean(str(metric), metrics)
            raise SweepError(f"{path}, primary.{name}: {metric!r} is none of this file's metrics.{near}")
    return dict(value)


def primary_of_rows(sweep: SweepFile, rows: Sequence[Row], baseline: str) -> dict[str, str]:
    """Row -> its primary metric: of the row by its own name, else of the one factor in which it leaves the baseline.

    Rows that are named nowhere, or leave the baseline in several factors, have none. SweepError for a name that
    belongs to no row.
    """
    base = next(row for row in rows if row.name == baseline)
    result, used = {}, set()
    for row in rows:
        if row.name == baseline:
            continue
        changed = [factor for factor, level in base.levels.items() if row.levels.get(factor) != level]
        switch = changed[0] if len(changed) == 1 and row.name not in sweep.arms else row.name
        name = row.name if row.name in sweep.primary else switch
        if name in sweep.primary:
            result[row.name] = sweep.primary[name]
            used.add(name)
    for name in sweep.primary:
        if name not in used:
            known = [*base.levels, *(row.name for row in rows if row.name != baseline)]
            raise SweepError(
                f"{sweep.path}, primary.{name}: there is no row that {name!r} alone changes, and none of that name."
                f"{did_you_mean(name, known)}"
            )
    return result
