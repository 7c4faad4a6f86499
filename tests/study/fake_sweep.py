"""`python -m tests.study.fake_sweep FILE ...`: workbench.sweep with the fake configuration and the fake cell."""

from __future__ import annotations

import os
import sys

from tests.study.fakes import resolve
from workbench.sweep import main

if __name__ == "__main__":
    sys.exit(main(resolve=resolve, program="tests.study.fake_cell", lease_seconds=float(os.environ.get("LEASE", "30"))))
