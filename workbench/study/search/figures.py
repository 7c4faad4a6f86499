"""The figures of a search: how the best came about, and the objective against every parameter."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.figures import Drawn
from workbench.study.files import write_bytes
from workbench.study.results import COMPLETE, PRUNED
from workbench.study.search.confirming import pareto
from workbench.study.search.parameters import Choice, Number, Parameter
from workbench.study.search.spec import Search
from workbench.study.search.trials import Standing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = 3  # slices a row


def draw_search(search: Search, standings: Sequence[Standing], root: Path) -> list[Drawn]:
    """Write the figures that the trials allow into root/figures, as PNG; returns them in the order of the page."""
    complete = [s for s in standings if s.state == COMPLETE and search.objective in s.scores]
    if not complete:
        return []
    drawn = [
        Drawn(
            _save(_history(search, standings, complete), root / "figures" / "history.png"),
            f"{search.objective} of the trials on the tune half, in the order of asking; the line is the "
            "best so far, crosses at the edge are pruned trials.",
        ),
        Drawn(
            _save(_slices(search, complete), root / "figures" / "slices.png"),
            f"{search.objective} against each parameter: the same trials in every panel, later ones darker.",
        ),
    ]
    if len(search.objectives) > 1:
        drawn.append(
            Drawn(
                _save(_front(search, standings, complete), root / "figures" / "pareto.png"),
                "The first two objectives; the trials that no other one dominates are joined.",
            )
        )
    return drawn


def _canvas(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # no pyplot: no global state, no display
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, sharey=True)


def _save(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})  # the same bytes for the same numbers
    write_bytes(path, buffer.getvalue())
    return path


def _history(search: Search, standings: Sequence[Standing], complete: Sequence[Standing]) -> Figure:
    figure, grid = _canvas(1, 1, 7.0, 3.6)
    axes = grid[0][0]
    numbers = [s.trial.number for s in complete]
    values = [s.scores[search.objective] for s in complete]
    least = search.objectives[search.objective] == "min"
    axes.plot(numbers, values, "o", color="0.45", markersize=5, label="complete")
    pruned = [s.trial.number for s in standings if s.state == PRUNED]
    if pruned:  # at the edge: their last values were measured on fewer images, which is another scale
        edge = axes.get_xaxis_transform()
        axes.plot(pruned, [0.97] * len(pruned), "x", color="tab:red", markersize=5, transform=edge, label="pruned")
    best = list(accumulate(values, min if least else max))
    last = max(s.trial.number for s in standings)
    axes.step([*numbers, last], [*best, best[-1]], where="post", color="black", label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(f"{search.objective} ({'lower' if least else 'higher'} is better)")
    axes.legend(fontsize=8)
    return figure


def _slices(search: Search, complete: Sequence[Standing]) -> Figure:
    parameters = search.space.parameters
    rows = ceil(len(parameters) / PANELS)
    columns = min(PANELS, len(parameters))
    figure, grid = _canvas(rows, columns, 3.2 * columns + 0.6, 2.6 * rows + 0.4)
    panels = [axes for row in grid for axes in row]
    for axes in panels[len(parameters) :]:
        axes.set_visible(False)
    for axes, parameter in zip(panels, parameters, strict=False):
        having = [s for s in complete if parameter.name in s.trial.values]
        places = [_place(parameter, s.trial.values[parameter.name]) for s in having]
        values = [s.scores[search.objective] for s in having]
        axes.scatter(places, values, c=[s.trial.number for s in having], cmap="Blues", edgecolor="0.3", s=28, vmin=-5)
        if isinstance(parameter, Number):
            _number_axis(axes, parameter)
        if isinstance(parameter, Choice):
            axes.set_xticks(range(len(parameter.levels)), list(parameter.levels), fontsize=7)
            axes.set_xlim(-0.5, len(parameter.levels) - 0.5)
        axes.set_xlabel(parameter.name, fontsize=8)
        axes.tick_params(labelsize=7)
    for row in grid:
        row[0].set_ylabel(search.objective, fontsize=8)
    return figure


def _number_axis(axes: Any, parameter: Number) -> None:
    """The whole range that was searched, with ticks that can be read."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        axes.set_xscale("log")
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 200 else (1, 3)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    else:
        margin = 0.04 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        if parameter.whole:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _short(value: float) -> str:
    return f"{value:g}" if value >= 0.01 else f"{value:.0e}".replace("e-0", "e-")


def _place(parameter: Parameter, value: Any) -> float:
    return float(list(parameter.levels).index(value)) if isinstance(parameter, Choice) else float(value)


def _front(search: Search, standings: Sequence[Standing], complete: Sequence[Standing]) -> Figure:
    figure, grid = _canvas(1, 1, 5.6, 4.2)
    axes = grid[0][0]
    first, second = list(search.objectives)[:2]
    shown = [s for s in complete if second in s.scores]
    axes.plot([s.scores[first] for s in shown], [s.scores[second] for s in shown], "o", color="0.6", markersize=5)
    front = pareto(standings, search.objectives)
    axes.plot([s.scores[first] for s in front], [s.scores[second] for s in front], "o-", color="tab:blue", markersize=6)
    for s in front:
        axes.annotate(str(s.trial.number), (s.scores[first], s.scores[second]), fontsize=7, xytext=(4, 4),
                      textcoords="offset points")  # fmt: skip
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    return figure
