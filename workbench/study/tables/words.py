"""The texts of a table's cells, the same in every format."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.study.tables.model import Column, Figure, Line, Table

MINUS = "−"


@dataclass(frozen=True)
class Text:
    """A cell: the main line, a smaller one below, and whether the main line is bold."""

    main: str
    below: str = ""
    bold: bool = False


def number(value: float, decimals: int, sign: bool = False) -> str:
    """A number with a true minus; '-0.00' is written as zero."""
    text = f"{value:+.{decimals}f}" if sign else f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-+")
    return text.replace("-", MINUS)


def p_value(p: float | None) -> str:
    """'.012', '< .001', or '' for none."""
    if p is None:
        return ""
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def header(table: Table) -> list[Text]:
    """One text a column: the row's name, the metrics, and the objective's further columns."""
    texts = [Text("")]
    for index, column in enumerate(table.columns):
        texts.append(Text(f"{column.metric} {column.arrow}", column.detail))
        if index == 0:
            texts += [Text("p"), Text("teacher"), Text("gap")]
    return texts


def cells(table: Table, line: Line) -> list[Text]:
    """The texts of one line, as many as the header has."""
    name = line.row.label + (" (inert)" if line.inert else "")
    missing = line.seeds - line.complete - len(line.diverged) - len(line.failed)
    remarks = [f"failed {len(line.failed)}/{line.seeds or 1} ({line.failed[0]})"] if line.failed else []
    if line.complete and line.seeds and missing:
        remarks.append(f"{line.complete}/{line.seeds} seeds")
    texts = [Text(name, ", ".join(remarks))]
    for index, column in enumerate(table.columns):
        figure = line.figures[column.metric]
        texts.append(_figure(figure, column, line))
        if index == 0:
            texts.append(Text(p_value(figure.p_holm)))
            texts.append(Text("" if figure.percent_of_teacher is None else f"{figure.percent_of_teacher:.1f} %"))
            texts.append(Text("" if figure.gap_closed is None else number(figure.gap_closed, 0) + " %"))
    return texts


def _figure(figure: Figure, column: Column, line: Line) -> Text:
    if line.diverged:
        return Text(
            f"diverged {len(line.diverged)}/{line.seeds or 1}",
            ", ".join(d.removeprefix("diverged ") for d in line.diverged),
        )
    if figure.mean is None:
        return Text("…" if not line.complete else "–")
    below = ""
    if (comparison := figure.comparison) is not None:
        below = number(comparison.difference, column.decimals, sign=True)
        if comparison.low is not None and comparison.high is not None:
            ends = [number(end, column.decimals, sign=True) for end in (comparison.low, comparison.high)]
            below += f" [{', '.join(ends)}]" if comparison.is_interval else f" ({' to '.join(ends)})"
        below += f" {comparison.better}/{comparison.n}"
        if comparison.p_equivalent is not None and comparison.p_equivalent < 0.05:
            below += " ≈"
    return Text(number(figure.mean, column.decimals), below, figure.bold)
