"""Check what the committed results are said to show: every verdict again from the values, with its interval.

    python -m workbench.claims             the claims, what was measured, and the verdicts
    python -m workbench.claims --check     exit status 1 where results/claims.yaml says anything else than the values
    python -m workbench.claims --write     write the verdicts into it, results/claims.md and results/summary.md

A claim names a study, a row, a metric and the test that decides it; a study without committed results is `not run`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, judge, print. Returns 0; 1 where --check finds a difference; 2 for a file that cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m workbench.claims", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="DIR", help="holds claims.yaml and reference/"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare with what is written, change nothing")
    what.add_argument("--write", action="store_true", help="write results and tables")
    options = parser.parse_args(arguments)
    from workbench.study.errors import SweepError

    try:
        return _claims(options.results, options.check, options.write)
    except SweepError as error:
        print(error, file=sys.stderr)
        return 2


def _claims(results: Path, check: bool, write: bool) -> int:
    from workbench.study.claims import (
        claims_markdown,
        claims_yaml,
        differences,
        judge,
        read_claims,
        read_summaries,
        summaries_markdown,
    )
    from workbench.study.claims.writing import measured_words
    from workbench.study.files import write_text

    file = results / "claims.yaml"
    claims = read_claims(file)
    summaries = read_summaries(file, claims)
    verdicts = [judge(claim, results / "reference") for claim in claims]
    pages = {results / "claims.md": claims_markdown(claims, verdicts)}
    if summaries:
        pages[results / "summary.md"] = summaries_markdown(summaries, claims, verdicts)
    if write:
        write_text(file, claims_yaml(claims, verdicts, {summary.title: summary.rows for summary in summaries}))
        for page, text in pages.items():
            write_text(page, text)
        print(f"Written: {', '.join(str(path) for path in (file, *pages))}")
        return 0
    if check:
        wrong = [line for claim, verdict in zip(claims, verdicts, strict=True) for line in differences(claim, verdict)]
        for page, text in pages.items():
            if not page.is_file() or page.read_text(encoding="utf-8") != text:
                wrong.append(f"{page} is not the table of these claims.")
        for line in wrong:
            print(line, file=sys.stderr)
        if wrong:
            print("Look at what changed, then: python -m workbench.claims --write", file=sys.stderr)
            return 1
        print(f"{len(claims)} claims: every verdict and number is what {results / 'reference'} gives.")
        return 0
    width = max(len(verdict.word) for verdict in verdicts)
    for claim, verdict in zip(claims, verdicts, strict=True):
        print(f"{verdict.word:<{width}}  {claim.name}: {claim.statement}: {measured_words(claim, verdict)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
