"""Training curves from metrics.jsonl; loads no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.safe_json import parse_json

Row = Mapping[str, Any]
SMOOTHING = 9  # visits of one t in a running mean, at most
FEW = 12  # points of a curve that get markers


def read_metrics(run_dir: Path) -> list[Row]:
    """The rows of a run's metrics.jsonl, as `workbench.distill.recorder` describes them.

    Raises ValueError for a folder without the file.
    """
    file = run_dir / "metrics.jsonl"
    if not file.is_file():
        raise ValueError(f"{run_dir}: no metrics.jsonl, so nothing was trained here. Give a folder of workbench.train.")
    lines = file.read_text(encoding="utf-8").splitlines()
    return [parse_json(line, f"{file}, line {number}") for number, line in enumerate(lines, 1) if line]


def series(rows: Sequence[Row], name: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """t -> (updates, values) of one scalar, noisiest t first; numbers that were not finite are left out."""
    found: dict[int, list[tuple[int, float]]] = {}
    for row in rows:
        if row.get(name) is not None:
            found.setdefault(row["t"], []).append((row["update"], row[name]))
    return {t: (np.array(found[t])[:, 0], np.array(found[t])[:, 1]) for t in sorted(found, reverse=True)}


def smooth(values: np.ndarray) -> np.ndarray:
    """Centred running mean over a third of the values, at most 9; at the ends over what there is of the window."""
    half = min(SMOOTHING, len(values) // 3) // 2  # a window as long as the curve would draw a straight line
    return np.array([values[max(0, i - half) : i + half + 1].mean() for i in range(len(values))])


def plot_run(rows: Sequence[Row], loss: str = "reconstruction") -> Figure:
    """One run in four panels, a colour for each t of the student: distance to the target, spread of the target over the
    teacher's, exposure gap; and, one for all t, gradient norm and how far the weights moved.

    Dots are single updates, lines their running mean over visits of the same t.
    """
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    (distance, spread), (gap, health) = figure.subplots(2, 2)
    _by_t(distance, rows, f"distance/{loss}", "distance to the target", "mean squared error in x0", log=True)
    _by_t(spread, rows, f"std_ratio/{loss}", "spread of the target", "std(target) / std(teacher, 25 steps)")
    spread.axhline(1, color="black", linewidth=0.8)
    _by_t(gap, rows, f"exposure_gap/{loss}", "exposure gap", "distance: own states - noised images", line=True)
    gap.axhline(0, color="black", linewidth=0.8)
    every = [(row["update"], row["gradient_norm"]) for row in rows if row.get("gradient_norm") is not None]
    if every:
        health.plot(*zip(*every, strict=True), color="tab:gray", linewidth=1)
    health.set(title="does it train?", xlabel="student update", ylabel="gradient norm (grey)", yscale="log")
    moved = [(row["update"], row["moved"]) for row in rows if row.get("moved") is not None]
    if moved:
        right = health.twinx()
        right.plot(*zip(*moved, strict=True), "o-", color="tab:purple", markersize=4)
        right.set_ylabel("|weights - start| / |start| (purple)", color="tab:purple")
        right.set_ylim(bottom=0)
    return figure


def _by_t(
    axes: Axes, rows: Sequence[Row], name: str, title: str, ylabel: str, *, log: bool = False, line: bool = False
) -> None:
    for index, (t, (updates, values)) in enumerate(series(rows, name).items()):
        colour = f"C{index}"
        if line:  # measured now and then on fixed samples: nothing to smooth
            axes.plot(updates, values, "o-", color=colour, markersize=4, label=f"t = {t}")
        else:
            axes.plot(updates, values, ".", color=colour, alpha=0.35, markersize=5)
            axes.plot(updates, smooth(values), color=colour, label=f"t = {t}")
    axes.set(title=title, xlabel="student update", ylabel=ylabel)
    if log:
        axes.set_yscale("log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    else:
        axes.text(0.5, 0.5, f"this run did not log\n{name}", transform=axes.transAxes, ha="center", va="center")


def plot_runs(
    runs: Mapping[str, Sequence[Sequence[Row]]],
    name: str,
    ylabel: str,
    baseline: str = "",
    level: float | None = None,
) -> Figure | None:
    """A panel for each t, a line for each arm: the mean over its seeds of the running mean.

    None if nobody logged it, or the seeds of no arm visited a t in a common range.

    Args:
        runs: label of an arm -> rows of `read_metrics`, one list a seed.
        name: the scalar, as "distance/reconstruction".
        baseline: label of the arm that is drawn in black.
        level: where a thin line says what is wanted, say a ratio of 1.
    """
    by_arm = {label: [series(rows, name) for rows in seeds] for label, seeds in runs.items()}
    times = sorted({t for seeds in by_arm.values() for one in seeds for t in one}, reverse=True)
    lines = {
        t: {arm: _mean_line([one[t] for one in seeds if t in one]) for arm, seeds in by_arm.items()} for t in times
    }
    shown = {t: found for t in times if (found := {arm: line for arm, line in lines[t].items() if line})}
    if not shown:
        return None
    figure = Figure(figsize=(3.6 * len(shown) + 2.2, 3.6), layout="constrained")
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    arms = list(by_arm)
    for axes, (t, found) in zip(panels, shown.items(), strict=True):
        for label, (updates, values) in found.items():
            style = {"color": "black", "linewidth": 2} if label == baseline else {"color": f"C{arms.index(label) % 10}"}
            axes.plot(updates, values, marker="." if len(updates) <= FEW else None, label=label, **style)
        if level is not None:
            axes.axhline(level, color="black", linewidth=0.8, linestyle=":")
        axes.set(title=f"t = {t}", xlabel="student update")
    panels[0].set_ylabel(ylabel)
    handles = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=8)
    return figure


def _mean_line(seeds: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean over seeds; they visit a t at different updates, hence interpolation where all of them are."""
    if not seeds:
        return None
    updates = np.unique(np.concatenate([u for u, _ in seeds]))
    updates = updates[(updates >= max(u.min() for u, _ in seeds)) & (updates <= min(u.max() for u, _ in seeds))]
    if not len(updates):
        return None
    return updates, np.mean([np.interp(updates, u, smooth(v)) for u, v in seeds], axis=0)
