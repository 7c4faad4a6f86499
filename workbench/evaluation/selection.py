"""Which snapshot of a run is scored: the best one on the tune half of the prompts, which no table shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workbench.evaluation.run import evaluate_run
from workbench.safe_json import read_json

HALF = "tune"  # never the report half: what is chosen on it would be reported on it


def select_snapshot(
    config: Mapping[str, Any],
    run_dir: Path,
    out_dir: Path,
    rule: Mapping[str, Any],
    on_progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Score every snapshot of `rule["snapshots"]` on `rule["num_images"]` prompts of the tune half; returns the choice.

    config: its `evaluation` is that of the report; the selection differs in prompts, number of images and in what
    costs time and decides nothing here (diversity, and the teacher's images unless the metric compares with them).
    rule: snapshots (shares, 1 = the end), on (a metric), direction ("min" or "max"), num_images. Equal scores: the
    later snapshot. Scores go to out_dir/tune-SHARE/evaluation.json and are read from there after a restart.
    Returns {"snapshot", "on", "scores": {share: value}}. Raises ValueError for a metric that the evaluation lacks.
    """
    scores: dict[float, float] = {}
    shares = sorted(float(share) for share in rule["snapshots"])
    for index, share in enumerate(shares):
        folder = out_dir / f"{HALF}-{share:g}"
        report = config["evaluation"]
        settings = {
            **report,
            "prompts": HALF,
            "num_images": rule["num_images"],
            "snapshot": None if share == 1 else share,
            "diversity_prompts": report["diversity_prompts"] if rule["on"].startswith("diversity") else 0,
            "teacher_steps": report["teacher_steps"] if rule["on"].startswith("teacher/") else 0,
            "grid_images": 0,
            "extractors": _needed(rule["on"], report["extractors"]),
        }
        metrics = _finished(folder, settings) or evaluate_run(
            {**config, "evaluation": settings},
            run_dir,
            folder,
            quiet=True,
            on_progress=_part(on_progress, index, len(shares)),
        )
        if rule["on"] not in metrics:
            raise ValueError(f"select.on: {rule['on']} is no metric of this evaluation. It has {', '.join(metrics)}.")
        scores[share] = metrics[rule["on"]]
    sign = -1 if rule["direction"] == "max" else 1
    best = min(shares, key=lambda share: (sign * scores[share], -share))
    return {"snapshot": best, "on": rule["on"], "scores": {f"{share:g}": scores[share] for share in shares}}


def _needed(metric: str, extractors: list[str]) -> list[str]:
    """The extractor that the metric is measured with, if it names one of these: others take time and decide nothing."""
    name = metric.partition("[")[2].rpartition("]")[0]
    return [spec for spec in extractors if spec.partition(":")[0] == name] or extractors


def _finished(folder: Path, settings: Mapping[str, Any]) -> dict[str, float] | None:
    """The metrics of an evaluation that a killed cell had finished."""
    try:
        found = read_json(folder / "evaluation.json")
    except (OSError, ValueError):
        return None
    same = all(found["settings"].get(name) == settings[name] for name in ("prompts", "num_images", "snapshot"))
    return found["metrics"] if same else None


def _part(report: Callable[[float], None] | None, index: int, count: int) -> Callable[[float], None] | None:
    return None if report is None else lambda share: report((index + share) / count)
