"""Run an ablation: every arm, every seed, and the table that compares them.

    python -m workbench.sweep sweeps/ablate_shift.yaml          run it; the same command again goes on where it stopped
    python -m workbench.sweep sweeps/ablate_shift.yaml --plan   what would run, and how long; nothing starts

A file with `search:` instead of `factors:` looks for the best values of a space (sweeps/tune_method.yaml explains it).
A second start of the same command, here or on another machine that sees the results folder, joins as more workers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.study.conductor import Request
    from workbench.study.plan import Plan
    from workbench.study.planning import Resolve
    from workbench.study.sweep_file import SweepFile


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m workbench.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a sweep file, as sweeps/quickstart.yaml")
    parser.add_argument(
        "--plan", action="store_true", help="check every cell, print the arms and the cost, start nothing"
    )
    parser.add_argument(
        "--workers", type=_count, metavar="N", help="cells at a time (default: cores, or groups of visible GPUs)"
    )
    parser.add_argument("--only", nargs="+", metavar="ARM", help="these rows only, and the baseline")
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="where results go (default: results)"
    )
    parser.add_argument(
        "--storage", metavar="URL", help="postgresql://... for many nodes (default: a journal in the results)"
    )
    parser.add_argument(
        "--quarantine", action="store_true", help="leave out broken images of the data, instead of naming them all and "
        "stopping (status 65)"
    )  # fmt: skip
    parser.add_argument(
        "--trust-launch", action="store_true", help="run the command that the file's run.launch names for every cell"
    )
    parser.add_argument("--fresh", action="store_true", help="start over; earlier results are moved aside, not deleted")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, but is {number}")
    return number


def main(
    arguments: Sequence[str] | None = None,
    resolve: Resolve | None = None,
    program: str = "workbench.cell",
    lease_seconds: float | None = None,
) -> int:
    """Parse, plan, run, print. Returns the exit status.

    0: all done (a diverged training is a result); 1: cells failed; 2: the file or the command is wrong, nothing was
    started; 65: images of the data are broken, nothing was started; 74: the disk is full or gone; 130: stopped.
    resolve: the configuration's parser; program: the module with run_cell.
    """
    options = _parser().parse_args(arguments)  # before any import that takes time: --help answers at once
    from workbench.files import EXIT_BROKEN, BrokenImages
    from workbench.study.errors import EXIT_DISK, DiskError, SweepError

    try:
        return _sweep(options, resolve, program, lease_seconds)
    except BrokenImages as error:
        print(f"{options.file}: nothing was started. {error}", file=sys.stderr)
        return EXIT_BROKEN
    except DiskError as error:
        print(error, file=sys.stderr)
        return EXIT_DISK
    except OSError as error:
        print(f"{options.results}: {error}. What is finished is kept.", file=sys.stderr)
        return EXIT_DISK
    except SweepError as error:
        print(error, file=sys.stderr)
        return 2


def _sweep(options: argparse.Namespace, resolve: Resolve | None, program: str, lease_seconds: float | None) -> int:
    from workbench.study.conductor import Conductor
    from workbench.study.files import check_writable
    from workbench.study.plan import load
    from workbench.study.planning import make_plan
    from workbench.study.progress import Progress, console_of_width
    from workbench.study.publish import publish
    from workbench.study.reading import read_yaml
    from workbench.study.search.spec import is_search
    from workbench.study.sweep_file import parse_sweep
    from workbench.study.tables import terminal

    console = console_of_width()
    raw = read_yaml(options.file)
    if is_search(raw):
        return _search(raw, options, resolve, program, lease_seconds)
    sweep = parse_sweep(raw, options.file)
    if not options.plan:
        _check_launch(sweep, options)
        check_writable(options.results)
    if resolve is None:
        with console.status("Checking every cell with the configuration's parser"):
            plan = make_plan(sweep, _real_resolve(options), _reads_images)
            _check_measured(sweep, plan)
    else:
        plan = make_plan(sweep, resolve)
    if options.only:
        plan = plan.only(options.only)
    if options.plan:
        _print_plan(plan, options, console, measure=resolve is None)
        return 0
    root = options.results / plan.study
    request = _request(options, program, lease_seconds)
    with Progress(plan, root, console) as progress:
        progress.say(_head(plan))
        conductor = Conductor(plan, request, progress.show, progress.say)
        status = conductor.run()
    console.print(terminal(publish(load(root) if not options.only else conductor.plan, root)))
    console.print(
        f"Written to {root}: table.md, table.csv, table.tex, report.html, figures/", markup=False, soft_wrap=True
    )
    return status


def _request(options: argparse.Namespace, program: str, lease_seconds: float | None) -> Request:
    from workbench.study.conductor import Request
    from workbench.study.lease import LEASE_SECONDS

    return Request(
        results=options.results,
        program=program,
        workers=options.workers,
        storage=options.storage,
        fresh=options.fresh,
        lease_seconds=lease_seconds or LEASE_SECONDS,
        sweep_file=options.file,
        trust_launch=options.trust_launch,
    )


def _check_launch(sweep: SweepFile, options: argparse.Namespace) -> None:
    from workbench.study.conductor import refuse_launch

    if not options.trust_launch:
        refuse_launch(sweep.run.launch, f"{sweep.path}, ")


def _search(
    raw: dict[str, Any], options: argparse.Namespace, resolve: Resolve | None, program: str, lease: float | None
) -> int:
    """A file with `search:` instead of `factors:`."""
    from workbench.study.errors import SweepError
    from workbench.study.progress import console_of_width
    from workbench.study.search.running import run_search
    from workbench.study.search.spec import parse_search

    search = parse_search(raw, options.file)
    if options.only:
        raise SweepError("--only: a search has no arms to choose from. Leave it out.")
    if not options.plan:
        _check_launch(search.sweep, options)

    def hours(config: Mapping[str, Any], passes: float) -> str:
        return _hours(config, search.sweep.run.devices, options, passes)

    request = _request(options, program, lease)
    real, console = resolve or _real_resolve(options), console_of_width()
    return run_search(search, request, real, console, options.plan, hours if resolve is None else None)


def _real_resolve(options: argparse.Namespace) -> Resolve:
    """The configuration's parser, and whether what it gives can be trained and scored here: all but the networks."""
    from workbench.config import instantiate, resolve  # imports torch, a matter of seconds
    from workbench.evaluation.exact import exact_target
    from workbench.evaluation.settings import check_settings, check_student_steps
    from workbench.training.images import ImageCheck
    from workbench.training.preflight import check_training, process_of

    sound = ImageCheck(options.quarantine, options.results)

    def real(base: Path, overrides: Any) -> dict[str, Any]:
        resolved = resolve(base, overrides)
        config = instantiate(resolved)
        check_training(config)
        check_settings(config.evaluation)
        process = process_of(config)
        check_student_steps(config, process)
        if config.evaluation.subject == "target":
            times = config.model.grid.timesteps(process, config.evaluation.num_inference_steps)
            exact_target(config.model.losses, process, times)
        return sound(resolved)

    return real


def _reads_images(resolved: Any) -> bool:
    from workbench.config import instantiate
    from workbench.training.preflight import reads_images

    return reads_images(instantiate(resolved))


def _check_measured(sweep: SweepFile, plan: Plan) -> None:
    """Every metric of the table is one that some evaluation gives: known only after a training otherwise.

    Not every evaluation needs to: a dear extractor may be asked for at one point of `evaluate` alone.
    """
    from workbench.evaluation.settings import check_measured
    from workbench.study.errors import SweepError

    settings = [task.settings for cell in plan.cells for task in cell.tasks]
    for metric in plan.metrics:
        errors = []
        for one in settings:
            try:
                check_measured(metric, one)
                break
            except ValueError as error:
                errors.append(error)
        else:
            if errors:
                raise SweepError(f"{sweep.path}, metrics: {errors[-1]}") from errors[-1]


def _head(plan: Plan) -> str:
    trainings = sum(cell.training is not None for cell in plan.cells)
    tasks = sum(len(cell.tasks) for cell in plan.cells)
    arms = sum(row.kind == "arm" for row in plan.rows)
    return f"{plan.study}: {arms} arms x {len(plan.seeds)} seeds, {trainings} trainings, {tasks} evaluations"


def _print_plan(plan: Plan, options: argparse.Namespace, console: Any, measure: bool) -> None:
    """What would run: rows, counts, passes, hours."""
    from workbench.study.plan_view import plan_grid, scoring_of, training_of
    from workbench.study.results import cell_result, is_trained, tasks_left

    console.print(plan_grid(plan))
    root = options.results / plan.study
    left = [cell for cell in plan.cells if cell_result(plan, cell, root) is None]
    trained = [cell for cell in left if is_trained(root / cell.folder, cell.training)]
    training = sum(training_of(cell) for cell in left if cell not in trained)
    scoring = sum(scoring_of(cell, tasks_left(cell, root)) for cell in left)
    lines = [_head(plan), f"To do: {len(left)} of {len(plan.cells)} cells, {training + scoring:,.0f} network passes "
             f"({training:,.0f} in training, {scoring:,.0f} in sampling)"]  # fmt: skip
    if trained:
        lines.append(f"Trained already, and only evaluated anew: {len(trained)}.")
    if plan.run.launch:
        lines.append("Each cell starts with the command of run.launch, which --trust-launch allows.")
    if measure and left:
        lines.append(_hours(plan.cells[-1].config, plan.run.devices, options, training + scoring))
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)


def _hours(config: Mapping[str, Any], devices: int, options: argparse.Namespace, passes: float) -> str:
    from workbench.study.progress import duration
    from workbench.study.surroundings import cores
    from workbench.timing import seconds_a_pass

    seconds, device = seconds_a_pass(config, options.results / ".cache")
    workers = options.workers or (1 if device == "cuda" else max(1, cores() // devices))
    return (
        f"About {duration(passes * seconds / workers)} with {workers} workers at {1000 * seconds:.2f} ms a pass and "
        "sample "
        f"({device}, measured); the VAE, metrics, logging and start-up come on top."
    )


if __name__ == "__main__":
    sys.exit(main())
