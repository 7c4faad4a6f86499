"""Write a study's tables, figures and page again, from its files: `python -m workbench.report results/ablate_shift`.

Runs nothing and imports no torch. Works on a study that is still running, or was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, write, print. Returns 0, or 2 where the folder is no study or cannot be copied."""
    parser = argparse.ArgumentParser(
        prog="python -m workbench.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="a study's folder, as results/ablate_shift")
    parser.add_argument(
        "--copy-to",
        type=Path,
        metavar="DIR",
        help="also copy the finished study there, without weights: small enough to commit, as results/reference/NAME",
    )
    options = parser.parse_args(arguments)
    from workbench.study.errors import SweepError
    from workbench.study.names import check_links
    from workbench.study.plan import load
    from workbench.study.progress import console_of_width
    from workbench.study.publish import publish
    from workbench.study.reference import copy_reference
    from workbench.study.search.folder import holds_search
    from workbench.study.tables import terminal

    try:
        check_links(options.study)
        if holds_search(options.study):
            return _report_search(options.study, options.copy_to)
        plan = load(options.study)
        table = publish(plan, options.study)
        if options.copy_to is not None:
            copy_reference(plan, options.study, options.copy_to)
    except SweepError as error:
        print(error, file=sys.stderr)
        return 2
    console = console_of_width()
    console.print(terminal(table))
    console.print(
        f"Written to {options.study}: table.md, table.csv, table.tex, report.html, figures/",
        markup=False,
        soft_wrap=True,
    )
    if options.copy_to is not None:
        console.print(f"Copied to {options.copy_to}", markup=False, soft_wrap=True)
    return 0


def _report_search(study: Path, target: Path | None) -> int:
    """As main, for the folder of a search. SweepError as there."""
    from workbench.study.progress import console_of_width
    from workbench.study.search.publish import publish_search
    from workbench.study.search.reference import copy_search
    from workbench.study.search.running import show

    console = console_of_width()
    show(publish_search(study), study, console)
    if target is not None:
        copy_search(study, target)
        console.print(f"Copied to {target}", markup=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
