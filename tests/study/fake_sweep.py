"""`python -m tests.study.fake_sweep FILE ...`: workbench.sweep with the fake configuration and the fake cell.

$PROGRAM is another module with run_cell, $LEASE the seconds of a lease.
"""

from __future__ import annotations

import os
import sys

from tests.study.fakes import resolve
from workbench.sweep import main

if __name__ == "__main__":
    program = os.environ.get("PROGRAM", "tests.study.fake_cell")
    words = [*sys.argv[1:], "--trust-launch"]  # the launch prefixes of tests are the tests' own
    sys.exit(main(words, resolve=resolve, program=program, lease_seconds=float(os.environ.get("LEASE", "30"))))
