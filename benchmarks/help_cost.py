"""What --help costs, in units of an interpreter that does nothing: `python benchmarks/help_cost.py`.

CPU time of `python -m workbench.VERB --help` over that of `python -c pass`; medians over interleaved repeats. The goal
is 5.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERBS = ("train", "sweep", "evaluate", "sample", "report", "claims")
GOAL = 5.0


def cpu_seconds(command: Sequence[str]) -> float:
    """User and system time of one run of the command, which must succeed."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return usage.ru_utime + usage.ru_stime


def ratios(repeats: int) -> dict[str, float]:
    """Verb -> median CPU time of its --help over that of an empty program."""
    commands = {"": [sys.executable, "-c", "pass"]}
    commands |= {verb: [sys.executable, "-m", f"workbench.{verb}", "--help"] for verb in VERBS}
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        cpu_seconds(command)  # compiles what is not compiled yet
    for repeat in range(repeats):
        for name in list(commands)[:: 1 if repeat % 2 == 0 else -1]:
            taken[name].append(cpu_seconds(commands[name]))
    nothing = statistics.median(taken[""])
    return {verb: statistics.median(taken[verb]) / nothing for verb in VERBS}


def main() -> None:
    """Print a line a verb; exit status 1 if one is beyond the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15, metavar="N", help="interleaved runs of each (default 15)")
    found = ratios(parser.parse_args().repeats)
    print("--help / python -c pass, CPU time")
    for verb, ratio in found.items():
        print(f"{verb:<10}{ratio:5.1f}")
    worst = max(found.values())
    print(f"goal      {GOAL:5.1f}   {'reached' if worst <= GOAL else 'missed'}")
    sys.exit(0 if worst <= GOAL else 1)


if __name__ == "__main__":
    main()
