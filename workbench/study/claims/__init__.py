"""Claims: what the committed results are said to show, and whether they do. Recomputed from values.csv every time."""

from workbench.study.claims.judging import Verdict, judge
from workbench.study.claims.reading import Claim, read_claims
from workbench.study.claims.summaries import Summary, read_summaries, summaries_markdown
from workbench.study.claims.writing import claims_markdown, claims_yaml, differences

__all__ = [
    "Claim",
    "Summary",
    "Verdict",
    "claims_markdown",
    "claims_yaml",
    "differences",
    "judge",
    "read_claims",
    "read_summaries",
    "summaries_markdown",
]
