"""Writes what a search says: table, figures, page and the best configuration. From files alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.study import plan as plans
from workbench.study.errors import SweepError
from workbench.study.files import write_text
from workbench.study.plan import Plan
from workbench.study.publish import publish
from workbench.study.search.confirming import choose
from workbench.study.search.figures import draw_search
from workbench.study.search.folder import read_folder
from workbench.study.search.importance import LEAST, importances
from workbench.study.search.page import search_page
from workbench.study.search.spec import Search
from workbench.study.search.table import counted, csv_trials, markdown_trials
from workbench.study.search.trials import Standing, Trials, merged_plan
from workbench.study.tables import Block, Table, markdown
from workbench.study.tables.words import number


@dataclass(frozen=True)
class Published:
    """What was written: the trials, those that were chosen, and the table that confirms them, if there is one."""

    search: Search
    standings: Sequence[Standing]
    chosen: Sequence[Standing]
    confirmed: Table | None
    verdict: str


def publish_search(root: Path) -> Published:
    """Write plan.json, trials.csv, table.md, best.yaml, figures/ and report.html into `root`; returns what they say.

    The confirmation is a study of its own in a folder below; its files are written again too. Works while the search
    runs. SweepError for a folder that holds no search.
    """
    search, _ = read_folder(root)
    standings = Trials(root).standings()
    for found in standings:
        if not search.space.holds(found.trial.values):
            raise SweepError(f"{root}/{found.trial.name}/trial.json: its values are no point of this search's space.")
    plans.save(merged_plan(plans.load(root), standings), root)
    chosen = choose(search, standings)
    below = root / search.confirmation
    plan = plans.load(below) if (below / "plan.json").is_file() else None
    confirmed = publish(plan, below) if plan is not None else None
    verdict = _verdict(search, chosen, plan, confirmed)
    shares = importances(search, standings)
    write_text(root / "trials.csv", csv_trials(search, standings))
    write_text(root / "table.md", _text(search, standings, confirmed, verdict, shares))
    for found in chosen:
        name = "best.yaml" if len(search.objectives) == 1 and found is chosen[0] else f"best-{found.trial.name}.yaml"
        write_text(root / name, _configuration(search, found, _confirmed(search, found, plan, confirmed)))
    drawn = draw_search(search, standings, root)
    write_text(
        root / "report.html",
        search_page(search, standings, confirmed, verdict, space_lines(search, shares), drawn, root),
    )
    return Published(search, standings, chosen, confirmed, verdict)


def _configuration(search: Search, found: Standing, verdict: str) -> str:
    """What `python -m workbench.train --config` takes: the trial's configuration, scored on the report half."""
    from workbench.safe_yaml import dump_yaml

    config = dict(found.trial.cell.config)
    if isinstance(config.get("evaluation"), dict) and "prompts" in config["evaluation"]:
        config["evaluation"] = {**config["evaluation"], "prompts": "report"}
    values = ", ".join(f"{name} {value}" for name, value in found.trial.values.items())
    scores = ", ".join(f"{name} {found.scores[name]:.4g}" for name in search.objectives)
    lines = [
        f"{found.trial.name} of the search {search.study}: {values}.",
        f"On the tune half, one seed: {scores}.",
        verdict,
    ]
    return "".join(f"# {' '.join(line.split())}\n" for line in lines) + dump_yaml(config)


def _verdict(search: Search, chosen: Sequence[Standing], plan: Plan | None, table: Table | None) -> str:
    """What may be said of the chosen trials."""
    if not chosen:
        return "No trial is complete yet."
    lines = []
    for found in chosen:
        tune = ", ".join(f"{name} {found.scores[name]:.4g}" for name in search.objectives)
        confirmed = _confirmed(search, found, plan, table)
        lines.append(f"{found.trial.name}: {tune} on the tune half with the seed of the search. {confirmed}")
    return " ".join(lines)


def _confirmed(search: Search, found: Standing, plan: Plan | None, table: Table | None) -> str:
    if search.confirm is None:
        return "Not confirmed: the file says confirm: none, so that this value is the best of many and too good."
    if table is None or plan is None:
        return "Not confirmed yet: this value is the best of many and too good."
    block = _searched(found, plan, table)
    lines = [line for line in block.lines if line.row.name == found.trial.name]
    if not lines or lines[0].complete < len(plan.seeds):
        return "Not confirmed yet: its trainings on other seeds are not complete."
    parts = []
    for column in table.columns[: len(search.objectives)]:
        figure = lines[0].figures[column.metric]
        if figure.mean is None or (comparison := figure.comparison) is None:
            continue
        difference = number(comparison.difference, column.decimals, sign=True)
        text = f"{column.metric} {number(figure.mean, column.decimals)}, {difference}"
        if comparison.low is not None and comparison.high is not None:
            ends = [number(end, column.decimals, sign=True) for end in (comparison.low, comparison.high)]
            text += f" [{', '.join(ends)}]" if comparison.is_interval else f" ({' to '.join(ends)})"
        word = "better than the base" if figure.bold else "not shown to be better than the base"
        word += "" if comparison.is_interval else " (an interval needs three seeds)"
        parts.append(f"{text} to the base, {comparison.better}/{comparison.n} seeds: {word}")
    where = f", {block.title}" if block.title else ""
    return f"Confirmed on {len(plan.seeds)} other seeds and the report half{where}: {'; '.join(parts)}."


def _searched(found: Standing, plan: Plan, table: Table) -> Block:
    """The block with the number of steps that the trials were scored at; the first where none has it."""
    wanted = (found.trial.cell.config.get("evaluation") or {}).get("num_inference_steps")
    steps = {tuple(e.evaluation.items()): e.num_inference_steps for e in plan.of(found.trial.name)}
    same = [block for block in table.blocks if steps.get(tuple(block.evaluation.items())) == wanted]
    return (same or list(table.blocks))[0]


def space_lines(search: Search, shares: dict[str, float]) -> list[str]:
    """The parameters with their ranges, and the share of the objective's importance where it is known."""
    lines = []
    for parameter in search.space.parameters:
        under = ", ".join(f"{parent} = {level}" for parent, level in parameter.under.items())
        share = f": importance {100 * shares[parameter.name]:.0f} %" if parameter.name in shares else ""
        lines.append(f"{parameter.name}, {parameter.words()}{f' (only with {under})' if under else ''}{share}")
    if shares:
        lines.append("Importance: PED-ANOVA (Watanabe et al. 2023) over the complete trials, one seed each: a hint.")
    else:
        lines.append(f"Importance: needs {LEAST} complete trials that differ in two parameters.")
    return lines


def _text(
    search: Search, standings: Sequence[Standing], confirmed: Table | None, verdict: str, shares: dict[str, float]
) -> str:
    parts = [f"### {search.sweep.question or search.study}\n", f"{verdict}\n"]
    if confirmed is not None:
        parts.append(markdown(confirmed))
    parts += [
        f"### {counted(search, standings)}\n",
        markdown_trials(search, standings),
        "\n".join(f"- {line}" for line in space_lines(search, shares)) + "\n",
        "\n".join(f"- {line}" for line in method_lines(search)) + "\n",
    ]
    return "\n".join(parts)


def method_lines(search: Search) -> list[str]:
    """How the trials were chosen and looked at."""
    lines = [
        f"{search.sampler}, seed {search.seed}; every trial trains with seed {search.seed}, scored on the tune half.",
    ]
    if search.intermediate is not None:
        at = " and ".join(f"{percent} %" for percent in search.intermediate.at)
        what = f"stopped by {search.pruner}" if search.pruner else "looked at"
        lines.append(
            f"On the way: {search.objective} of the averaged student on {search.intermediate.num_images} tune prompts "
            f"at {at} of the updates; {what}. Not comparable with the trial's own figure: N differs."
        )
    return lines
