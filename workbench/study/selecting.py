"""`select`: a cell's checkpoint is chosen on the tune half of the prompts, before the report half is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.study.errors import SweepError, did_you_mean

KEYS = ("snapshots", "on", "num_images")
LEAST_IMAGES = 64  # below, a Frechet distance of 64 features is noise


@dataclass(frozen=True)
class Select:
    """Which snapshots compete, on which metric, on how many prompts of the tune half."""

    snapshots: tuple[float, ...]  # shares of the updates; 1 is the student at the end
    on: str
    direction: str  # min or max
    num_images: int

    @property
    def kept(self) -> list[float]:
        """What training has to keep on its way."""
        return [share for share in self.snapshots if share < 1]

    def identity(self) -> dict[str, Any]:
        """As plain data, for a hash and for the cell."""
        return {
            "snapshots": list(self.snapshots),
            "on": self.on,
            "direction": self.direction,
            "num_images": self.num_images,
        }


def parse_select(value: Any, metrics: Mapping[str, str], path: Path) -> Select | None:
    """`select: {snapshots: [0.5, 0.75, 1], on: FD[judge], num_images: 256}`. SweepError for what cannot choose."""
    if value is None:
        return None
    where = f"{path}, select"
    if not isinstance(value, dict):
        raise SweepError(f"{where}: must be a mapping with {', '.join(KEYS)}, but is {value!r}.")
    for key in value:
        if key not in KEYS:
            raise SweepError(f"{where}: there is no key {key!r}.{did_you_mean(key, KEYS)}")
    shares = value.get("snapshots")
    if not isinstance(shares, list) or not all(_is_number(share) and 0 < share <= 1 for share in shares):
        raise SweepError(f"{where}.snapshots: must be shares of the updates above 0 and up to 1, but is {shares!r}.")
    if len(set(shares)) < max(2, len(shares)):
        raise SweepError(f"{where}.snapshots: must be at least two different shares, but is {shares!r}.")
    metric = value.get("on", next(iter(metrics)))
    if metrics.get(metric) not in ("min", "max"):
        raise SweepError(
            f"{where}.on: must be a metric of this file that is min or max, but is {metric!r}."
            f"{did_you_mean(str(metric), metrics)}"
        )
    images = value.get("num_images", 256)
    if not isinstance(images, int) or isinstance(images, bool) or images < LEAST_IMAGES:
        raise SweepError(f"{where}.num_images: must be a whole number from {LEAST_IMAGES}, but is {images!r}.")
    return Select(tuple(sorted(float(share) for share in shares)), metric, metrics[metric], images)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def keeping(config: Mapping[str, Any], select: Select | None) -> dict[str, Any]:
    """The configuration that keeps the snapshots among which is chosen, beside those that it keeps anyway."""
    if select is None:
        return dict(config)
    train = config.get("train") or {}
    return {**config, "train": {**train, "snapshots": sorted({*(train.get("snapshots") or ()), *select.kept})}}
