from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.study.fakes import big_sweep, plan_of, sweep
from workbench.study import lease, plan
from workbench.study.errors import SweepError
from workbench.study.files import write_json
from workbench.study.ledger import Claim, Ledger, open_storage
from workbench.study.locks import FileLock, JournalLock
from workbench.study.plan import Plan

WORKER = """
import json, os, sys
from pathlib import Path
from workbench.study import plan
from workbench.study.files import write_json
from workbench.study.ledger import Ledger

root = Path(sys.argv[1])
ledger = Ledger(plan.load(root), root)
while not ledger.is_idle():
    claim = ledger.claim()
    if claim is None:
        continue
    with open(root / "completions.txt", "a") as file:
        file.write(claim.cell.key + "\\n")
    evaluations = {task.key: {"metrics": {"FD[judge]": 1.0}} for task in claim.cell.tasks}
    result = {"status": "complete", "training": claim.cell.training, "evaluations": evaluations}
    write_json(root / claim.cell.folder / "result.json", result)
    ledger.finish(claim)
"""


def finish(root: Path, claim: Claim, value: float = 1.0) -> None:
    evaluations = {task.key: {"metrics": {"FD[judge]": value}} for task in claim.cell.tasks}
    result = {"status": "complete", "training": claim.cell.training, "evaluations": evaluations}
    write_json(root / claim.cell.folder / "result.json", result)


def small(tmp_path: Path, **changes: Any) -> tuple[Plan, Path]:
    return plan_of(tmp_path, sweep(**{"seeds": 2, **changes})), tmp_path / "results"


def states(root: Path) -> Counter[str]:
    import optuna

    storage = open_storage(None, root)
    trials = [
        t
        for s in optuna.get_all_study_summaries(storage)
        for t in optuna.load_study(study_name=s.study_name, storage=storage).trials
    ]
    return Counter(trial.state.name for trial in trials)


def test_four_workers_run_24_instantaneous_cells_once_each(tmp_path: Path) -> None:
    made = plan_of(tmp_path, sweep(seeds=12))
    root = tmp_path / "results"
    Ledger(made, root).restock()
    plan.save(made, root)
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(root)]) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    counts = Counter((root / "completions.txt").read_text().split())
    assert counts == dict.fromkeys(made.keys, 1) and len(counts) == 24
    assert states(root) == {"COMPLETE": 24}


def test_cells_come_in_the_order_of_the_plan_and_only_once(tmp_path: Path) -> None:
    made, root = small(tmp_path)
    ledger = Ledger(made, root)
    ledger.restock()
    ledger.restock()
    claims = [ledger.claim() for _ in range(5)]
    assert [claim.cell for claim in claims if claim] == list(made.cells)
    assert claims[4] is None and not ledger.is_idle()


def test_a_torn_journal_recovers_at_every_byte_of_its_last_record(tmp_path: Path) -> None:
    made, root = small(tmp_path, seeds=1)
    ledger = Ledger(made, root)
    ledger.restock()
    claim = ledger.claim()
    assert claim
    finish(root, claim)
    ledger.finish(claim)
    whole = (root / "study.journal").read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    assert len(whole) - last > 50
    for cut in range(last + 1, len(whole)):
        (root / "study.journal").write_bytes(whole[:cut])
        with pytest.warns(UserWarning, match="its last record was cut off") as caught:
            again = Ledger(made, root)
        assert len(caught) == 1, cut
        second = again.claim()
        assert second is not None and second.cell == made.cells[1], cut
        assert json.loads((root / "study.journal").read_text().splitlines()[-1])


def test_healing_keeps_whole_records_of_any_length(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    line = b'{"x": "' + b"y" * 200_000 + b'"}\n'
    for torn in (b"", b"{", b"z" * 150_000):
        journal.write_bytes(line + torn)
        lock = JournalLock(journal)
        if torn:
            with pytest.warns(UserWarning, match="cut off"):
                assert lock.acquire()
        else:
            assert lock.acquire()
        lock.release()
        assert journal.read_bytes() == line
    journal.write_bytes(b"no newline at all")
    with pytest.warns(UserWarning, match="cut off"):
        lock.acquire()
    lock.release()
    assert journal.read_bytes() == b""


def test_a_lost_ledger_is_rebuilt_from_the_results(tmp_path: Path) -> None:
    made, root = small(tmp_path)
    ledger = Ledger(made, root)
    ledger.restock()
    for value in (1.0, 2.0):
        claim = ledger.claim()
        assert claim
        finish(root, claim, value)
        ledger.finish(claim)
    (root / "study.journal").unlink()
    again = Ledger(made, root)
    again.restock()
    assert states(root) == {"COMPLETE": 2, "WAITING": 2}
    third = again.claim()
    assert third and third.cell == made.cells[2]


def test_a_dead_owner_loses_the_cell_and_its_late_result_is_kept(tmp_path: Path) -> None:
    made, root = small(tmp_path, seeds=1)
    first, second = Ledger(made, root, lease_seconds=0.3), Ledger(made, root, lease_seconds=0.3)
    first.restock()
    claim = first.claim()
    assert claim
    time.sleep(0.5)  # the first worker is frozen: it renews nothing
    taken = second.claim()
    assert taken and taken.cell == claim.cell and taken.token != claim.token
    assert taken.attempt == 0, "a lost worker is not the cell's failure"
    finish(root, claim)
    first.finish(claim)  # it comes back: no error
    second.finish(taken)
    other = second.claim()
    assert other and other.cell != claim.cell
    assert states(root) == {"FAIL": 1, "COMPLETE": 1, "RUNNING": 1}


def test_an_owner_that_renews_keeps_the_cell(tmp_path: Path) -> None:
    made, root = small(tmp_path, seeds=1)
    ledger = Ledger(made, root, lease_seconds=0.4)
    ledger.restock()
    claim = ledger.claim()
    assert claim
    for _ in range(4):
        time.sleep(0.2)
        lease.renew(root / claim.cell.folder)
    other = ledger.claim()
    assert other and other.cell != claim.cell


def test_a_worker_of_this_machine_that_is_gone_is_noticed_at_once(tmp_path: Path) -> None:
    made, root = small(tmp_path, seeds=1)
    plan.save(made, root)
    Ledger(made, root).restock()
    code = WORKER.split("    with open")[0] + "    print(claim.cell.key, flush=True); import time; time.sleep(60)\n"
    worker = subprocess.Popen([sys.executable, "-c", code, str(root)], stdout=subprocess.PIPE, text=True)
    assert worker.stdout
    key = worker.stdout.readline().strip()
    ledger = Ledger(made, root)
    other = ledger.claim()
    assert other and other.cell.key != key
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    again = ledger.claim()
    assert again and again.cell.key == key


def test_failures_are_retried_as_often_as_allowed(tmp_path: Path) -> None:
    made, root = small(tmp_path, seeds=[5], run={"retries": 2}, arms=None)
    ledger = Ledger(made.only(["baseline"]), root)
    ledger.restock()
    queued = []
    while (claim := ledger.claim()) is not None:
        queued.append((claim.attempt, ledger.fail(claim, "error", counted=True)))
    assert queued == [(0, True), (1, True), (2, False)]
    assert ledger.is_idle()


def test_a_wider_plan_and_a_narrower_one_share_the_ledger(tmp_path: Path) -> None:
    made = plan_of(tmp_path, big_sweep())
    root = tmp_path / "results"
    wide, narrow = Ledger(made, root), Ledger(made.only(["shift-constant"]), root)
    wide.restock()
    narrow.restock()
    claims = []
    while (claim := narrow.claim()) is not None:
        claims.append(claim.cell.arm)
    assert Counter(claims) == {"baseline": 3, "shift-constant": 3}
    rest = []
    while (claim := wide.claim()) is not None:
        rest.append(claim.cell.key)
    assert len(rest) == len(made.cells) - 6


def test_levels_are_parameters_of_the_trials(tmp_path: Path) -> None:
    import optuna

    made = plan_of(tmp_path, big_sweep(seeds=1))
    root = tmp_path / "results"
    ledger = Ledger(made, root)
    ledger.restock()
    while (claim := ledger.claim()) is not None:
        finish(root, claim)
        ledger.finish(claim)
    storage = open_storage(None, root)
    name = optuna.get_all_study_summaries(storage)[0].study_name
    trials = [
        t
        for t in optuna.load_study(study_name=name, storage=storage).trials
        if t.user_attrs["arm"] == "shift-scale_strength-mild"
    ]
    assert [trial.params for trial in trials] == [{"trajectory": "backward", "shift": "scale", "strength": "mild"}]


def test_a_strange_url_is_refused_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(SweepError) as caught:
        open_storage("postgresql://me:secret@127.0.0.1:1/none", tmp_path)
    assert "secret" not in str(caught.value) and "cannot be opened" in str(caught.value)


def test_a_file_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = """
import sys, time
from pathlib import Path
from workbench.study.locks import FileLock
lock = FileLock(Path(sys.argv[1]))
print(lock.acquire(), flush=True)
time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "l")], stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline()
    lock = FileLock(tmp_path / "l")
    assert not lock.acquire(wait=False)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    start = time.monotonic()
    assert lock.acquire()
    assert time.monotonic() - start < 1
    lock.release()
