"""Write a study's tables, figures and page again, from its files: `python -m workbench.report results/ablate_shift`.

Runs nothing and imports no torch. Works on a study that is still running, or was stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, write, print. Returns 0, or 2 where the folder is no study."""
    parser = argparse.ArgumentParser(
        prog="python -m workbench.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="a study's folder, as results/ablate_shift")
    options = parser.parse_args(arguments)
    from workbench.study.errors import SweepError
    from workbench.study.plan import load
    from workbench.study.progress import console_of_width
    from workbench.study.publish import publish
    from workbench.study.tables import terminal

    try:
        table = publish(load(options.study), options.study)
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
