"""The ledger on a real PostgreSQL, started on loopback by the test."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.study.engine import TABLES, root_of, run, shifts, starts
from tests.study.fakes import plan_of, sweep
from tests.study.test_ledger import WORKER, finish
from workbench.study import plan
from workbench.study.ledger import Ledger

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
    Path(found) for found in [shutil.which("initdb")] if found
]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of an empty database. PostgreSQL refuses to run as root: there the user postgres runs it."""
    if not PROGRAMS:
        message = "PostgreSQL is not installed here (Debian: apt-get install postgresql)"
        (pytest.fail if os.environ.get("WORKBENCH_REQUIRE_POSTGRESQL") else pytest.skip)(message)
    # Not pytest's folder: another session of pytest closes that for other users.
    folder = Path(tempfile.mkdtemp(prefix="workbench-postgres-"))
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        user = {"user": "postgres", "cwd": "/"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "data"
    create = [str(PROGRAMS[-1]), "-D", str(data), "-U", "bench", "--auth=trust", "--no-sync"]
    subprocess.run(create, check=True, capture_output=True, **user)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off".split()
    command = [str(PROGRAMS[-1].with_name("postgres")), "-D", str(data), *options]
    with open(os.devnull, "w") as quiet:
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, **user)
    try:
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, "PostgreSQL did not start"
            time.sleep(0.1)
        yield f"postgresql://bench@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_four_workers_run_24_cells_once_each(server: str, tmp_path: Path) -> None:
    made = plan_of(tmp_path, sweep(seeds=12))
    root = tmp_path / "results"
    Ledger(made, root, server).restock()
    plan.save(made, root)
    code = WORKER.replace("Ledger(plan.load(root), root)", f"Ledger(plan.load(root), root, {server!r})")
    workers = [subprocess.Popen([sys.executable, "-c", code, str(root)]) for _ in range(4)]
    assert [worker.wait(100) for worker in workers] == [0] * 4
    counts = Counter((root / "completions.txt").read_text().split())
    assert counts == dict.fromkeys(made.keys, 1) and len(counts) == 24
    assert not (root / "study.journal").exists()


def test_a_claim_asks_a_long_queue_no_more_than_a_short_one(server: str, tmp_path: Path) -> None:
    """Under the lock, with eight workers, what a claim costs is what a sweep waits for."""
    from sqlalchemy import event

    asked = {}
    for seeds in (2, 30):
        made = plan_of(tmp_path, sweep(seeds=seeds), f"queue-{seeds}")
        root = tmp_path / f"results-{seeds}"
        ledger = Ledger(made, root, server)
        ledger.restock()
        statements: list[str] = []
        event.listen(
            ledger._storage.engine,  # type: ignore[attr-defined]
            "before_cursor_execute",
            lambda connection, cursor, statement, *_, seen=statements: seen.append(statement),
        )
        counts = []
        for _ in range(2 * seeds):
            claim = ledger.claim()
            assert claim
            finish(root, claim)
            ledger.finish(claim)
            counts.append(len(statements))
            statements.clear()
        assert ledger.is_idle()
        asked[seeds] = set(counts)
    assert len(asked[2]) == 1 and asked[2] == asked[30], "the first cell and the last, of 4 and of 60"


def test_a_study_that_is_deleted_is_rebuilt_without_training(server: str, tmp_path: Path) -> None:
    """The study alone, by Optuna's own command; and all tables of the database, by an administrator."""
    import optuna
    import sqlalchemy

    path = shifts(tmp_path, "constant")
    run(path, "--storage", server)
    tables = {name: (root_of(path) / name).read_bytes() for name in TABLES}
    (name,) = [name for name in optuna.get_all_study_names(storage=server) if name.startswith(path.stem)]
    before = states(server, name)

    def delete() -> None:
        optuna.delete_study(study_name=name, storage=server)

    def drop() -> None:
        engine = sqlalchemy.create_engine(server.replace("postgresql:", "postgresql+psycopg:"))
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP SCHEMA public CASCADE")
            connection.exec_driver_sql("CREATE SCHEMA public")
        engine.dispose()

    for lose in (delete, drop):
        lose()
        for table in TABLES:
            (root_of(path) / table).unlink()
        run(path, "--storage", server)
        assert set(starts(path).values()) == {1}, "no cell was trained again"
        assert {name: (root_of(path) / name).read_bytes() for name in TABLES} == tables
        assert states(server, name) == before


def states(url: str, study: str) -> Counter[str]:
    import optuna

    return Counter(trial.state.name for trial in optuna.load_study(study_name=study, storage=url).trials)
