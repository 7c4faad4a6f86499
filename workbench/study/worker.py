"""A worker: takes cells, one after the other, and starts a child for each. Imports no torch.

`python -m workbench.study.worker ROOT OPTIONS_JSON PARENT_PID`; started by the launching process, which it does not
outlive.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from workbench.study import lease, plan, provenance
from workbench.study.child import die_with_parent
from workbench.study.errors import EXIT_DISK, DiskError, SweepError
from workbench.study.files import explained, tail, write_json, write_text
from workbench.study.launch import CommandLauncher, ForkLauncher, Launcher, Outcome, watch
from workbench.study.ledger import Claim, Ledger
from workbench.study.names import check_links, inside
from workbench.study.plan import Cell, Plan, Task
from workbench.study.results import cell_result
from workbench.study.spent import drop_checkpoints
from workbench.study.surroundings import child_environment

DISK = ("disk full", "disk")
UNCOUNTED = ("stopped", "busy", "lost", *DISK)  # not the cell's fault
IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Options:
    """What a worker is told by the process that starts it."""

    plan: str  # file of the plan, as `plan.save` writes it
    program: str  # module with run_cell(folder)
    server: str = ""  # address of the fork server, "" for none
    storage: str | None = None
    devices: tuple[str, ...] = ()  # its GPUs
    lease_seconds: float = lease.LEASE_SECONDS
    resolver: str = ""  # address of the configuration's parser, where cells are made while the study runs
    launch: tuple[str, ...] = ()  # prefix of a child's command; that of the plan's file is only what somebody wrote


class Worker:
    """Works until no cell waits or runs, or until it is told to stop."""

    def __init__(self, root: Path, options: Options, stop: Callable[[], bool]) -> None:
        self._root = root
        self._options = options
        self._stop = stop
        self._plan: Plan = plan.load(Path(options.plan).parent)
        self._ledger = self._open_ledger()

    def _open_ledger(self) -> Ledger:
        return Ledger(self._plan, self._root, self._options.storage, self._options.lease_seconds)

    def run(self) -> None:
        """Take cells until there are none. DiskError when the disk is full or gone."""
        while not self._stop():
            claim = self._ledger.claim()
            if claim is not None:
                self._work(claim)
            elif self._ledger.is_idle():
                return
            else:  # others still run cells; if one of them dies, its cell comes back
                time.sleep(IDLE_SECONDS * random.uniform(0.5, 1.5))

    def _work(self, claim: Claim) -> None:
        folder = inside(self._root, claim.cell.folder)
        check_links(folder)
        outcome = self._attempt(claim, folder)
        if cell_result(self._plan, claim.cell, self._root) is not None:
            (folder / "failure.json").unlink(missing_ok=True)
            self._ledger.finish(claim)
            drop_checkpoints(self._plan, claim.cell, self._root)
            return
        if self._ended_early(claim, outcome):
            return
        if outcome.kind == "ended":
            outcome = Outcome("error", "the child ended without a result")
        counted = outcome.kind not in UNCOUNTED
        if counted:
            self._note_failure(claim, folder, outcome)
        self._ledger.fail(claim, outcome.kind, counted)
        if outcome.kind in DISK:
            raise DiskError(outcome.message)
        if outcome.kind in ("busy", "lost"):
            time.sleep(IDLE_SECONDS)

    def _ended_early(self, claim: Claim, outcome: Outcome) -> bool:
        """Whether the child was stopped because the cell is done with, result or not."""
        return False

    def _asked_to_stop(self, claim: Claim, folder: Path) -> Callable[[], bool]:
        """What decides, while the child runs, whether it is asked to save and end."""
        return self._stop

    def _attempt(self, claim: Claim, folder: Path) -> Outcome:
        cell = claim.cell
        for name in ("STOP", "attempt.json", "heartbeat"):
            (folder / name).unlink(missing_ok=True)
        self._write_inputs(cell, folder)
        stop = self._asked_to_stop(claim, folder)
        environment = child_environment(os.environ, self._options.devices, keep_cluster=bool(self._options.launch))
        environment["WORKBENCH_ATTEMPT"] = str(claim.attempt)
        try:
            child = self._launcher(cell).start(folder, environment)
        except ConnectionError as error:
            return Outcome("lost", str(error))
        except OSError as error:
            if isinstance(problem := explained(error, folder), SweepError):
                raise problem from error
            return Outcome("error", f"the child could not be started: {error}")
        return watch(child, folder, lambda: lease.renew(folder), stop, self._plan.run.hours)

    def _launcher(self, cell: Cell) -> Launcher:
        """A fork for a cell of one process, a fresh interpreter for what Lightning has to start again by itself."""
        single = self._plan.run.devices == 1 and not self._options.launch
        if single and self._options.server and os.path.exists(self._options.server):
            return ForkLauncher(self._options.server)
        return CommandLauncher(self._options.program, self._options.launch)

    def _write_inputs(self, cell: Cell, folder: Path) -> None:
        """config.yaml: what `python -m workbench.train --config` repeats; evaluations.yaml: what to score it on."""
        from workbench.safe_yaml import dump_yaml

        write_text(folder / "config.yaml", dump_yaml(_plain(cell.config)), durable=False)
        wanted = dump_yaml(_plain(self._wanted(cell)))
        write_text(folder / "evaluations.yaml", wanted, durable=False)
        if not (folder / "provenance.json").exists():  # the training writes its own, which knows more
            write_json(
                folder / "provenance.json", {**provenance.gather(), "assets": dict(self._plan.assets)}, durable=False
            )

    def _wanted(self, cell: Cell) -> dict[str, Any]:
        return {
            "key": cell.key,
            "training": cell.training,
            "keep_checkpoints": self._plan.run.keep_checkpoints,
            "evaluations": [_wanted(task) for task in cell.tasks],
        }

    def _note_failure(self, claim: Claim, folder: Path, outcome: Outcome) -> None:
        if claim.attempt < self._plan.run.retries:
            return
        failure = {
            "key": claim.cell.key,
            "kind": outcome.kind,
            "message": outcome.message,
            "attempts": claim.attempt + 1,
            "log": tail(folder / "log.txt"),
        }
        write_json(folder / "failure.json", failure)


def _plain(value: object) -> object:
    """Without aliases and types that YAML would have to explain."""
    return json.loads(json.dumps(value))


def start_arguments(root: Path, options: Options, module: str = "workbench.study.worker") -> list[str]:
    """The command of a worker of this process; `module` is the one whose worker it is."""
    return [sys.executable, "-m", module, str(root), json.dumps(asdict(options)), str(os.getpid())]


def main(kind: type[Worker] = Worker) -> None:
    """Entry point. Exit status 0 when nothing is left to do, 74 for a full or lost disk, 1 for a mistake."""
    parent = int(sys.argv[3])  # named, not asked for: it may have died while this interpreter started
    die_with_parent()
    stopped = False

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    raw = json.loads(sys.argv[2])
    options = Options(**{**raw, "devices": tuple(raw["devices"]), "launch": tuple(raw["launch"])})
    try:
        kind(Path(sys.argv[1]), options, lambda: stopped or os.getppid() != parent).run()
    except (SweepError, OSError) as error:
        problem = explained(error, Path(sys.argv[1])) if isinstance(error, OSError) else error
        if isinstance(problem, DiskError):
            _leave(EXIT_DISK, str(problem))
        if isinstance(problem, SweepError):
            _leave(1, str(problem))
        raise


def _leave(status: int, message: str) -> NoReturn:
    """Say why, if that is possible: the log lies on the disk that may be full, and the status matters more."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        pass
    os._exit(status)


def _wanted(task: Task) -> dict:
    wanted = {"key": task.key, "evaluation": task.settings}
    return wanted | ({"select": task.select} if task.select else {})


if __name__ == "__main__":
    main()
