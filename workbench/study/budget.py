"""`budget`: every arm trains for the same number of network passes, whatever an update of it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.snapshots import check_shares, snapshot_update
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.overrides import writes

UPDATES = "train.student_updates"
MOST_UPDATES = 10**9


def parse_budget(value: Any, path: Path) -> float | None:
    """`budget: {passes: 10000}`, in units of one forward without gradient of one sample (see cost.py)."""
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"passes"}:
        near = did_you_mean(next(iter(value)), ("passes",)) if isinstance(value, dict) and value else ""
        raise SweepError(f"{path}, budget: must be {{passes: N}}, but is {value!r}.{near}")
    passes = value["passes"]
    if isinstance(passes, bool) or not isinstance(passes, int | float) or not passes > 0:
        raise SweepError(f"{path}, budget.passes: must be a number of network passes above 0, but is {passes!r}.")
    return float(passes)


def check_budget(raw: Mapping[str, Any], path: Path) -> None:
    """SweepError where the file itself sets the number of updates as well: two owners of one number.

    A file that a level names may (`file: methods/lcm.yaml`): that is the method's length where nobody sets another.
    """
    if raw.get("budget") is None:
        return
    places: list[tuple[str, Any]] = [("set", raw.get("set"))]
    groups = {"arms": raw.get("arms")}
    groups |= {f"factors.{name}": levels for name, levels in _mapping(raw.get("factors")).items()}
    for group, entries in groups.items():
        places += [(f"{group}.{name}", overrides) for name, overrides in _mapping(entries).items() if name != "under"]
    for place, overrides in places:
        if writes(_mapping(overrides), UPDATES):
            raise SweepError(
                f"{path}, {place}: writes {UPDATES}, which the budget decides. Remove it there, or the budget."
            )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def updates_within(config: Mapping[str, Any], passes: float) -> int:
    """The largest number of student updates whose training costs at most `passes`.

    ValueError where not even one does: a critic's warm-up may cost more than everything.
    """
    from workbench.study.cost import training_passes  # which knows plans, and plans know sweep files

    def cost(updates: int) -> float:
        return training_passes({**config, "train": {**(config.get("train") or {}), "student_updates": updates}})

    if cost(1) > passes:
        slope = cost(2) - cost(1)
        raise ValueError(
            f"one update costs {slope:,.0f} passes after a warm-up of {cost(1) - slope:,.0f}, more than the budget of "
            f"{passes:,.0f}. Give a larger budget, a smaller batch or a shorter warm-up."
        )
    low, high = 1, 2
    while high < MOST_UPDATES and cost(high) <= passes:
        low, high = high, 2 * high
    while high - low > 1:  # cost grows with the updates
        middle = (low + high) // 2
        low, high = (middle, high) if cost(middle) <= passes else (low, middle)
    return low


def within_budget(config: Mapping[str, Any], passes: float | None) -> dict[str, Any]:
    """The configuration with the updates that the budget allows, and its snapshots at shares of the passes.

    As it is for no budget, where snapshots stand at shares of the updates. ValueError as above.
    """
    if passes is None:
        return dict(config)
    train = {**(config.get("train") or {}), "student_updates": updates_within(config, passes)}
    shares = train.get("snapshots") or []
    config = {**config, "train": train}
    if shares:
        train["snapshots"] = [share_of_updates(config, share) for share in shares]
        try:
            check_shares(train["snapshots"], train["student_updates"])
        except ValueError as error:
            raise ValueError(
                f"the snapshots at {shares} of {passes:,.0f} passes: {error} What critics learn alone first counts; "
                "give a larger budget, a shorter warm-up or later snapshots."
            ) from error
    return config


def share_of_updates(config: Mapping[str, Any], share: float) -> float:
    """The share of the updates after which a training has spent this share of its passes at most, one update at least.

    The two differ where critics train alone first, or where a later update costs another number of passes than an
    earlier one: a trajectory in stages, a curriculum.
    """
    from workbench.study.cost import training_passes

    updates = int(config["train"]["student_updates"])
    low, high, most = 1, updates, share * training_passes(config) * (1 + 1e-9)
    while low < high:  # passes grow with the updates
        middle = (low + high + 1) // 2
        low, high = (middle, high) if training_passes(config, middle) <= most else (low, middle - 1)
    # Six digits are what a snapshot's name has; rounded up, so that its share rounded down is this update.
    return share if snapshot_update(share, updates) == low else math.ceil(1e6 * low / updates) / 1e6


def at_share(settings: dict[str, Any], shares: Mapping[float, float]) -> dict[str, Any]:
    """The settings of an evaluation with the snapshot as an arm has it. shares: in the file -> of the arm's updates."""
    share = settings.get("snapshot")
    return settings if share is None else {**settings, "snapshot": shares.get(share, share)}
