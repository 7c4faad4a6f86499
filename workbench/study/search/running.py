"""The verb's work for a search: plan it, run its trials, confirm what they found, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.study.conductor import Conductor, Request
from workbench.study.files import check_writable
from workbench.study.names import inside
from workbench.study.plan import Plan
from workbench.study.planning import Resolve
from workbench.study.progress import Progress
from workbench.study.results import COMPLETE
from workbench.study.search.conductor import SearchConductor, skeleton
from workbench.study.search.confirming import choose, confirmation
from workbench.study.search.planning import TrialPlanner, cost_bound, intermediate_settings
from workbench.study.search.progress import SearchProgress
from workbench.study.search.publish import Published, publish_search
from workbench.study.search.spec import Search
from workbench.study.search.table import counted, terminal_trials
from workbench.study.search.trials import FINISHED, OPEN, Trials

if TYPE_CHECKING:
    from rich.console import Console

Hours = Callable[[Mapping[str, Any], float], str]  # a configuration, passes -> a sentence


def run_search(
    search: Search, request: Request, resolve: Resolve, console: Console, plan_only: bool, hours: Hours | None
) -> int:
    """Run a search; returns the exit status of the verb. SweepError for what is wrong with the file or the folder."""
    if not plan_only:
        check_writable(request.results)
    planner = TrialPlanner(search, resolve)
    with console.status("Checking the space's corners with the configuration's parser"):
        base, corners = planner.check()
        if search.confirm is not None:
            confirmation_example(search, planner)  # what `evaluate` and `references` say is found out now, too
    bound = cost_bound(corners)
    if plan_only:
        print_plan(search, planner, base, corners, request, console, hours)
        return 0
    root = inside(request.results, search.study)
    with SearchProgress(search, skeleton(base), root, console) as progress:
        progress.say(head(search))
        conductor = SearchConductor(
            base, request, progress.show, progress.say, planner=planner, key=planner.key(base), bound=bound
        )
        status = conductor.run()
    standings = Trials(root).standings()
    over = len(standings) >= search.trials and not any(s.state == OPEN for s in standings)
    if status in (0, 1) and search.confirm is not None and over:
        status = max(status, _confirm(search, planner, request, root, resolve, console))
    show(publish_search(root), root, console)
    return status


def _confirm(
    search: Search, planner: TrialPlanner, request: Request, root: Path, resolve: Resolve, console: Console
) -> int:
    """Train the chosen trials and the base on other seeds, and score them on the report half: an ordinary study."""
    chosen = choose(search, Trials(root).standings())
    if not chosen:
        console.print("No trial is complete: there is nothing to confirm.", markup=False)
        return 1
    plan = confirmation(planner, chosen, resolve)
    if plan is None:
        console.print("The best trial is the base configuration itself: there is nothing to confirm.", markup=False)
        return 0
    below = replace(request, results=root, fresh=False)
    with Progress(plan, root / plan.study, console) as progress:
        progress.say(f"Confirming {', '.join(s.trial.name for s in chosen)} on seeds {_seeds(search)}, report half")
        return Conductor(plan, below, progress.show, progress.say).run()


def _seeds(search: Search) -> str:
    return ", ".join(map(str, search.confirm.seeds)) if search.confirm else "none"


def show(published: Published, root: Path, console: Console) -> None:
    """The result on the terminal."""
    from workbench.study.tables import terminal

    if published.confirmed is not None:
        console.print(terminal(published.confirmed))
    console.print(counted(published.search, published.standings), style="bold", markup=False)
    console.print(terminal_trials(published.search, published.standings))
    console.print(published.verdict, markup=False)
    console.print(
        f"Written to {root}: table.md, trials.csv, best.yaml, report.html, figures/", markup=False, soft_wrap=True
    )


def head(search: Search) -> str:
    """The search in a line."""
    goals = ", ".join(f"{'minimise' if way == 'min' else 'maximise'} {name}" for name, way in search.objectives.items())
    pruner = f", {search.pruner}" if search.pruner else ""
    return (
        f"{search.study}: {search.trials} trials over {len(search.space.parameters)} parameters, {goals} on the tune "
        f"half, {search.sampler}{pruner}"
    )


def print_plan(
    search: Search,
    planner: TrialPlanner,
    base: Plan,
    corners: list[Plan],
    request: Request,
    console: Console,
    hours: Hours | None,
) -> None:
    """What would run: the space, the trials, what they cost at most, the confirmation."""
    from rich import box
    from rich.table import Table

    from workbench.study.cost import cell_passes, evaluation_passes

    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("parameter", "range", "exists with"):
        grid.add_column(name)
    for parameter in search.space.parameters:
        under = ", ".join(f"{parent} = {level}" for parent, level in parameter.under.items())
        grid.add_row(parameter.name, parameter.words(), under or "always")
    console.print(grid)
    dearest = cost_bound(corners)
    looks = 0.0
    if search.intermediate is not None:
        settings = intermediate_settings(search, base.cells[0].tasks[0].settings)
        looks = len(search.intermediate.at) * evaluation_passes(settings, base.cells[0].config)
    standings = Trials(request.results / search.study).standings()
    left = max(0, search.trials - sum(s.state in FINISHED for s in standings))
    passes = left * (dearest + looks)
    complete = sum(s.state == COMPLETE for s in standings)
    lines = [
        head(search),
        f"The base and {len(corners)} corners of the space pass the configuration's parser.",
        f"To do: {left} of {search.trials} trials, at most {passes:,.0f} network passes ({dearest + looks:,.0f} for "
        f"the dearest corner{', less where trials are pruned' if search.pruner else ''}); {complete} are complete.",
    ]
    if search.confirm is not None:
        rows = 1 + search.confirm.most
        trainings = rows * len(search.confirm.seeds)
        example = confirmation_example(search, planner)
        scored = example.cells[0]
        scoring = sum(evaluation_passes(task.settings, scored.config) for task in scored.tasks)
        training = max(cell_passes(plan.cells[0]) for plan in [base, *corners])
        confirm = trainings * (training + scoring)
        passes += confirm
        chosen = "best" if len(search.objectives) == 1 else "Pareto front"
        lines.append(
            f"Then: the {chosen}, at most {search.confirm.most} of the trials, and the base on seeds {_seeds(search)}: "
            f"{trainings} trainings, scored on the report half, at most {confirm:,.0f} passes."
        )
    if hours is not None and passes:
        lines.append(hours(base.cells[-1].config, passes))
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def confirmation_example(search: Search, planner: TrialPlanner) -> Plan:
    """The base configuration as the confirmation will score it; checks `evaluate` and `references` beforehand."""
    from workbench.study.planning import make_plan
    from workbench.study.search.planning import REPORT

    sweep = search.sweep
    example = replace(sweep, set={**sweep.set, **REPORT}, arms={"baseline": {}}, baseline_arm="baseline")
    return make_plan(example, planner.resolve)
