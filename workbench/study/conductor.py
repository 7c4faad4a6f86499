"""The launching process: prepares the study's folder, starts workers, watches them, writes what came out."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType

from workbench.study import plan as plans
from workbench.study import provenance
from workbench.study.errors import EXIT_DISK, EXIT_STOPPED, DiskError, SweepError
from workbench.study.files import check_writable, is_same, read_json, state_of_disk, tail, write_bytes, write_json
from workbench.study.gpus import Gpus
from workbench.study.lease import LEASE_SECONDS
from workbench.study.ledger import Ledger, is_sqlite
from workbench.study.locks import FileLock
from workbench.study.names import check_links, inside
from workbench.study.plan import Cell, Plan
from workbench.study.preload import Preload
from workbench.study.spent import drop_checkpoints
from workbench.study.state import State, read_state
from workbench.study.surroundings import NETWORK, cores, file_system, visible_gpus
from workbench.study.worker import Options, start_arguments

CELL_BYTES = 30_000_000  # what a small cell writes; a preflight, no promise
POLL = 0.1
SHOW_SECONDS = (0.5, 2.0)  # between two views; the more cells there are to look at, the longer,
SHOW_SHARE = 0.01  # so that looking costs a hundredth of a core, which the cells may need
GPU_SECONDS = 1.0  # between two looks for free GPUs
QUICK_DEATH = 3.0  # a worker that dies sooner, or by itself, may not be able to work at all
DEATHS = 4  # so many errors in a row; 1, 2 and 4 seconds lie between them, in which a database may come back
QUICK_DEATHS = 10  # so many signals in a row


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    results: Path
    program: str = "workbench.cell"
    workers: int | None = None
    storage: str | None = None
    fresh: bool = False
    lease_seconds: float = LEASE_SECONDS
    sweep_file: Path | None = None  # copied into the study
    trust_launch: bool = False  # whether run.launch may run


def refuse_launch(launch: Sequence[str], where: str) -> None:
    """SweepError for a command that a sweep file brings, and that nobody has allowed; for none there is nothing to do.

    Whoever starts a launching process decides for it and its workers. The sweep file alone does not, since it may be
    somebody else's; nor does the plan in the results folder, which others may write: workers take the command from the
    process that started them.
    """
    if launch:
        words = " ".join(shlex.quote(word) if word.isprintable() else ascii(word) for word in launch)
        more = f"... and {len(words) - 1_000:,} more characters" if len(words) > 1_000 else ""
        raise SweepError(
            f"{where}run.launch: is a command that would run for every cell: {words[:1_000]}{more}. Nothing was "
            "started. Allow it with --trust-launch."
        )


@dataclass
class _Slot:
    """A place for a worker, with the GPUs that it has at the moment."""

    devices: tuple[str, ...] = ()
    process: subprocess.Popen | None = None
    started: float = 0.0
    deaths: int = 0
    not_before: float = 0.0
    done: bool = False


@dataclass
class Conductor:
    """Runs a plan. `show` is called with the state twice a second, `say` with a line that stays."""

    plan: Plan
    request: Request
    show: Callable[[State], None] = lambda state: None
    say: Callable[[str], None] = lambda line: print(line, flush=True)
    _stops: int = field(default=0, init=False)
    _preload: Preload | None = field(default=None, init=False)
    _gpus: Gpus = field(default_factory=lambda: Gpus((), 1), init=False)

    def run(self) -> int:
        """Run what is not done; returns the exit status: 0, 1 for failed cells, 74 for a full disk, 130 if stopped."""
        if not self.request.trust_launch:
            refuse_launch(self.plan.run.launch, "")
        if is_sqlite(self.request.storage) and (self.request.workers or 1) > 1:
            raise SweepError(
                "--storage sqlite: allows one worker. SQLite has no row locks: two would run cells twice. "
                "Leave --storage out (a journal in the results folder), or use postgresql://."
            )
        if is_sqlite(self.request.storage) and (kind := file_system(self.request.results)) in NETWORK:
            raise SweepError(
                f"--storage sqlite: {self.request.results} lies on {kind}, where SQLite's locks do not hold. "
                "Leave --storage out (a journal in the results folder), or use postgresql://."
            )
        root = inside(self.request.results, self.plan.study)
        check_writable(self.request.results)
        check_links(self.request.results / self.plan.study)
        check_links(self.request.results / f".{self.plan.study}.active")
        active = FileLock(self.request.results / f".{self.plan.study}.active")
        if self.request.fresh:
            self._set_aside(root, active)
        check_writable(root, CELL_BYTES * self._left(root))
        if not active.acquire(wait=False, shared=True):
            raise SweepError(f"{root} is being set aside by another --fresh. Run this again in a moment.")
        sqlite = FileLock(root / "sqlite.lock")
        try:
            self._gpus = Gpus(() if _on_cpu(self.plan) else visible_gpus(os.environ), self.plan.run.devices)
            if is_sqlite(self.request.storage) and not sqlite.acquire(wait=False):
                raise SweepError(
                    "--storage sqlite: has one worker already. SQLite has no row locks: two workers would run cells "
                    "twice. "
                    "Leave --storage out (a journal in the results folder), or use postgresql://."
                )
            self.plan = plans.adopt(self.plan, root)
            plan_file = self._prepare(root)
            with _Signals(self._on_signal):
                status = self._work(root, plan_file)
            for cell in self._cells(root):  # of a worker that was killed at that moment, or of an older version
                drop_checkpoints(self.plan, cell, root)
            self._report_failures(root)
            return status
        finally:
            sqlite.release()
            active.release()

    # What differs where the cells are not known beforehand: workbench.study.search.conductor.

    def _left(self, root: Path) -> int:
        """About how many cells are still to be run."""
        return sum(not (root / cell.folder / "result.json").exists() for cell in self.plan.cells)

    def _cells(self, root: Path) -> Iterable[Cell]:
        return self.plan.cells

    def _restock(self, root: Path) -> None:
        Ledger(self.plan, root, self.request.storage, self.request.lease_seconds).restock()

    def _state(self, root: Path) -> State:
        return read_state(self.plan, root)

    def _worker(self, root: Path, options: Options) -> list[str]:
        """The command that starts a worker."""
        return start_arguments(root, options)

    @contextmanager
    def _served(self, options: Options) -> Iterator[Options]:
        """The options of the workers, while what they may ask of this process is there to be asked."""
        yield options

    def _set_aside(self, root: Path, active: FileLock) -> None:
        """--fresh deletes nothing: the study moves to study.1, study.2, ..."""
        if not active.acquire(wait=False):
            raise SweepError(f"{root} is in use by a running sweep. Stop that one before --fresh.")
        try:
            if root.exists():
                number = next(n for n in range(1, 10_000) if not root.with_name(f"{root.name}.{n}").exists())
                root.rename(root.with_name(f"{root.name}.{number}"))
                self.say(f"The earlier results are kept in {root.with_name(f'{root.name}.{number}')}.")
        finally:
            active.release()

    def _prepare(self, root: Path) -> Path:
        """Write the plan, for people and for later; returns the copy that this sweep's workers read."""
        # One folder a launching process: a second invocation may have another plan of the same study.
        mine = root / "plans" / f"{os.getpid()}-{time.time_ns()}"
        mine.mkdir(parents=True)
        plans.save(self.plan, mine)
        plans.save(self.plan, root)
        if self.request.sweep_file is not None:
            write_bytes(root / "sweep.yaml", self.request.sweep_file.read_bytes())
        write_json(
            root / "provenance.json",
            {**provenance.gather(), "command": provenance.command(), "assets": dict(self.plan.assets)},
        )
        return mine / "plan.json"

    def _slots(self, waiting: int) -> list[_Slot]:
        devices = self.plan.run.devices
        groups = self._gpus.groups
        most = groups or max(1, cores() // devices)
        if is_sqlite(self.request.storage):
            most = 1
        wanted = self.request.workers or most
        if groups and wanted > groups:
            raise SweepError(
                f"--workers {wanted}: {groups} groups of {devices} GPUs are visible. Two cells on one would fight."
            )
        return [_Slot() for _ in range(min(wanted, max(1, waiting)))]

    def _work(self, root: Path, plan_file: Path) -> int:
        self._restock(root)
        state = self._state(root)
        if state.open == 0:
            return 1 if state.failed else 0
        slots = self._slots(state.open)
        logs = root / "logs"
        logs.mkdir(exist_ok=True)
        try:
            options = Options(
                plan=str(plan_file),
                program=self.request.program,
                storage=self.request.storage,
                lease_seconds=self.request.lease_seconds,
                launch=self.plan.run.launch,
            )
            if self.plan.run.devices == 1 and not self.plan.run.launch:
                self._preload = Preload(self.request.program, logs / "forkserver.log")
                self._preload.start()
                options = Options(**{**vars(options), "server": str(self._preload.address)})
            with self._served(options) as served:
                return self._watch(root, slots, served, logs)
        finally:
            self._end(slots)
            for slot in slots:
                self._gpus.give_back(slot.devices)
            if self._preload is not None:
                self._preload.close()
            shutil.rmtree(plan_file.parent, ignore_errors=True)

    def _watch(self, root: Path, slots: list[_Slot], options: Options, logs: Path) -> int:
        identity = root.stat()
        due = 0.0
        status = 0
        told = 0
        waited = False
        while not all(slot.done for slot in slots):
            if not is_same(root, identity):  # workers end with this process' `finally`, and their cells with them
                raise DiskError(f"{root}: was removed while the sweep ran. What was in it is lost.")
            if self._preload is not None and (happened := self._preload.tend()):
                self.say(happened)
            for index, slot in enumerate(slots):
                status = max(status, self._tend(slot, index, root, options, logs))
            waiting = self._share_gpus(slots)
            if waiting and not waited:
                waited = True
                self.say(
                    f"{len(waiting)} of {len(slots)} workers wait: other sweeps of yours on this machine have the "
                    f"GPUs. One starts for every {self.plan.run.devices} that they leave; Ctrl-C ends the waiting."
                )
            if self._stops > told:
                told = self._stops
                self._pass_on(slots)
            if status == EXIT_DISK and not self._stops:
                self._stops = 1  # the others meet the same disk
                told = 1
                self._pass_on(slots)
            now = time.monotonic()
            if now >= due:
                began = time.process_time()
                self.show(state := self._state(root))
                low, high = SHOW_SECONDS
                due = now + min(max((time.process_time() - began) / SHOW_SHARE, low), high)
                for slot in waiting if state.open == 0 else ():
                    slot.done = True  # others have done what it waited for
            time.sleep(POLL)
        state = self._state(root)
        self.show(state)
        if status:
            return status
        if self._stops and state.open:
            return EXIT_STOPPED
        return 1 if state.failed or state.open else 0

    def _tend(self, slot: _Slot, index: int, root: Path, options: Options, logs: Path) -> int:
        """Start the slot's worker, or start it again after an accident; returns a status to remember, 0 for none."""
        if slot.done:
            return 0
        log = logs / f"worker-{os.uname().nodename}-{os.getpid()}-{index}.log"
        if slot.process is None:
            if self._stops:
                slot.done = True
                return 0
            if time.monotonic() < slot.not_before:
                return 0
            if self._gpus.groups and not slot.devices:
                slot.devices = self._gpus.take() or ()
                if not slot.devices:
                    slot.not_before = time.monotonic() + GPU_SECONDS
                    return 0
            arguments = self._worker(root, Options(**{**vars(options), "devices": slot.devices}))
            with open(log, "ab") as output:
                slot.process = subprocess.Popen(
                    arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                )
            slot.started = time.monotonic()
            return 0
        code = slot.process.poll()
        if code is None:
            return 0
        slot.process = None
        if code == 0:
            slot.done = True
            return 0
        if code == EXIT_DISK:
            slot.done = True
            self.say(f"{state_of_disk(root)} Finished cells are kept.\n{tail(log, 1)}")
            return EXIT_DISK
        # By an error of its own, however late, it would die again; by a signal, an accident, only if at once.
        own = code > 0 or time.monotonic() - slot.started < QUICK_DEATH
        slot.deaths = slot.deaths + 1 if own else 0
        slot.not_before = time.monotonic() + (2.0 ** (slot.deaths - 1) if code > 0 else 0.0)
        if slot.deaths >= (DEATHS if code > 0 else QUICK_DEATHS):
            slot.done = True
            self.say(f"A worker died {slot.deaths} times in a row ({code}). Its log {log} ends with:\n{tail(log)}")
            return 1
        reason = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        self.say(f"A worker died ({reason}); its cell goes back into the queue, and another worker starts.")
        return 0

    def _share_gpus(self, slots: list[_Slot]) -> list[_Slot]:
        """Let others have what is not needed any more; returns the slots that wait for GPUs of others."""
        for slot in slots:
            if slot.done and slot.process is None:
                self._gpus.give_back(slot.devices)
                slot.devices = ()
        return [slot for slot in slots if self._gpus.groups and not slot.done and not slot.devices]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1

    def _pass_on(self, slots: list[_Slot]) -> None:
        """First Ctrl-C: the cells save and stop. Second: they are killed; a checkpoint interval is lost at most."""
        if self._stops == 1:
            self.say("Stopping: running cells save first. Ctrl-C again kills them. The same command goes on later.")
        for slot in slots:
            if slot.process is not None:
                slot.process.send_signal(signal.SIGTERM if self._stops == 1 else signal.SIGKILL)
            if self._stops > 1:
                slot.done = True

    def _end(self, slots: list[_Slot]) -> None:
        for slot in slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.kill()
                slot.process.wait()

    def _report_failures(self, root: Path) -> None:
        for cell in self._cells(root):
            failure = read_json(root / cell.folder / "failure.json")
            if isinstance(failure, dict) and failure.get("key") == cell.key:
                seed = "" if cell.seed is None else f", seed {cell.seed}"
                self.say(
                    f"{cell.arm}{seed} failed {failure['attempts']} times ({failure['kind']}): {failure['message']}\n"
                    f"{root / cell.folder / 'log.txt'} ends with:\n{failure['log']}"
                )


class _Signals:
    """Handlers for Ctrl-C and SIGTERM while workers run, the former ones afterwards."""

    def __init__(self, handler: Callable[[int, FrameType | None], None]) -> None:
        self._handler = handler

    def __enter__(self) -> None:
        self._former = {number: signal.signal(number, self._handler) for number in (signal.SIGINT, signal.SIGTERM)}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)


def _on_cpu(plan: Plan) -> bool:
    """Whether no cell wants a GPU, even where there are some."""
    wanted = {(cell.config.get("train") or {}).get("accelerator") for cell in plan.cells}
    return wanted == {"cpu"}
