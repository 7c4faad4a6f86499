"""Facts of a row beside its metrics: what its training saw and cost, how long it and its images took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.snapshots import snapshot_update
from workbench.study.errors import SweepError, did_you_mean
from workbench.study.files import read_json

if TYPE_CHECKING:
    from workbench.study.plan import Cell, Task

# name in a sweep file's `columns` -> head in the table, what stands below it
FACTS = {
    "real_data": ("real data", "read in training"),
    "updates": ("updates", "of the student"),
    "passes": ("passes", "forwards of a sample"),
    "train_seconds": ("training", "wall time, s"),
    "image_seconds": ("an image", "wall time, ms"),
    "snapshot": ("snapshot", "share of the updates"),
}


def parse_columns(value: Any, path: Path) -> tuple[str, ...]:
    """`columns: [real_data, passes, train_seconds]`. SweepError for a name that is no fact."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise SweepError(f"{path}, columns: must be a list of {', '.join(FACTS)}, but is {value!r}.")
    for name in value:
        if name not in FACTS:
            raise SweepError(f"{path}, columns: there is no {name!r}.{did_you_mean(name, FACTS)}")
    return tuple(dict.fromkeys(value))


def trained_passes(config: Mapping[str, Any], share: float | None = None) -> float:
    """Network passes until this share of the updates; warm-ups included, until the end for None."""
    from workbench.study.cost import training_passes  # which knows plans, and plans know sweep files

    train = config.get("train") or {}
    return training_passes(config, snapshot_update(share, int(train.get("student_updates", 100))))


def facts_of(cell: Cell, task: Task, root: Path, selected: float | None) -> dict[str, float]:
    """What is known of an evaluated student (everything) or teacher (image_seconds). selected: the chosen snapshot."""
    found: dict[str, float] = {}
    folder = root / cell.folder
    if cell.training is not None:
        share = task.settings.get("snapshot") if selected is None else selected
        updates = int((cell.config.get("train") or {}).get("student_updates", 0))
        found["updates"] = snapshot_update(share, updates)
        found["passes"] = trained_passes(cell.config, share)
        found["snapshot"] = 1.0 if share is None else float(share)
        seconds = _training_seconds(read_json(folder / "provenance.json"))
        if seconds is not None:
            found["train_seconds"] = seconds
    per_image = ((_mapping(read_json(folder / "evaluations" / task.key / "evaluation.json"))).get("seconds") or {}).get(
        "per_image"
    )
    if isinstance(per_image, int | float):
        found["image_seconds"] = float(per_image)
    return found


def _training_seconds(provenance: Any) -> float | None:
    """Over all starts of the run; older runs know their last start alone."""
    known = _mapping(provenance)
    value = known.get("training_seconds", known.get("seconds_since_last_start"))
    return float(value) if isinstance(value, int | float) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def shown(name: str, values: Sequence[float], real_data: bool | None) -> str:
    """The text of a fact: the mean over the seeds; how many seeds took which snapshot; '' where nothing is known."""
    if name == "real_data":
        return "" if real_data is None else "yes" if real_data else "no"
    if not values:
        return ""
    if name == "snapshot":
        counts = sorted(Counter(values).items())
        return ", ".join(f"{share:.3g}" + (f" ({count}×)" if len(counts) > 1 else "") for share, count in counts)
    mean = sum(values) / len(values)
    return {"image_seconds": f"{1000 * mean:.1f}", "train_seconds": f"{mean:.0f}"}.get(name, f"{mean:,.0f}")
