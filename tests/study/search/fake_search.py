"""`python -m tests.study.search.fake_search FILE ...`: workbench.sweep with the fake configuration and cell."""

from __future__ import annotations

import os
import sys

from tests.study.fakes import resolve
from workbench.sweep import main

if __name__ == "__main__":
    program = "tests.study.search.fake_cell"
    sys.exit(main(resolve=resolve, program=program, lease_seconds=float(os.environ.get("LEASE", "30"))))
