"""optuna-dashboard beside running workers, looked at with a real browser: arms, levels and values are on its page."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.study import test_engine as engine
from tests.study.fakes import sweep, write
from tests.study.search import fakes
from tests.study.test_postgres import server  # noqa: F401

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
BROWSER = next((found for name in BROWSERS if (found := shutil.which(name))), None)
needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no browser to look with (Debian: apt-get install chromium-headless-shell, 86 MB)"
)


@contextmanager
def dashboard(storage: str, log: Path) -> Iterator[str]:
    """The dashboard's address; it listens on loopback alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    main = "from optuna_dashboard._cli import main; main()"
    command = [sys.executable, "-c", main, storage, "--host", "127.0.0.1", "--port", str(port)]
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/api/studies", timeout=10).read()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.wait()


def text_of(address: str, scratch: Path) -> str:
    """What a person would read on the page, after its scripts have run."""
    assert BROWSER is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--window-size=1600,3000"]
    command = [BROWSER, *options, f"--user-data-dir={scratch / 'browser'}", "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    page = re.sub(r"<(script|style)\b.*?</\1>", "", done.stdout, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def study_of(address: str, name: str) -> int:
    """The number of the study whose name begins so."""
    found = json.loads(urllib.request.urlopen(f"{address}/api/studies", timeout=30).read())["study_summaries"]
    return int(next(study["study_id"] for study in found if study["study_name"].startswith(f"{name}-")))


def end(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    print(process.communicate(timeout=120)[0])


def look_at_a_search(folder: Path, storage: str | None) -> None:
    raw = fakes.raw_search(trials=40, confirm="none", pruner="MedianPruner")
    path = fakes.write(folder, raw, sleep=0.4)
    more = ["--storage", storage] if storage else []
    process = fakes.start(path, "--workers", "2", *more)
    try:
        fakes.until(lambda: fakes.root_of(path).is_dir() and fakes.states(path)["complete"] >= 2)
        with dashboard(storage or str(fakes.root_of(path) / "study.journal"), folder / "log") as address:
            number = study_of(address, "tune")
            text = text_of(f"{address}/dashboard/studies/{number}/trials", folder)
        assert process.poll() is None, "the workers were still at it"
        first = fakes.standings(path)[0]
        assert "Running" in text and "Complete" in text, text
        for word in (
            "train.learning_rate",
            "model.decay",
            "Intermediate Values",
            f"shift {first.trial.values['shift']}",
        ):
            assert word in text, text
        assert str(first.scores["FD[judge]"]) in text and "trial-000/seed0-" in text
    finally:
        end(process)


@needs_browser
def test_a_running_search_on_the_journal(tmp_path: Path) -> None:
    look_at_a_search(tmp_path, None)


@needs_browser
@pytest.mark.slow
def test_a_running_search_on_postgresql(tmp_path: Path, server: str) -> None:  # noqa: F811
    look_at_a_search(tmp_path, server)
    assert not (tmp_path / "results" / "tune" / "study.journal").exists()


def look_at_an_ablation(folder: Path, storage: str | None) -> None:
    factors = {"shift": {"none": {}, "slow": {"model.shift": "slow"}, "constant": {"model.shift": "constant"}}}
    raw = sweep(factors=factors, baseline={"shift": "none"}, seeds=8, set={"train.updates": 25})
    path = write(folder, raw)
    process = engine.start(path, "--workers", "1", *(["--storage", storage] if storage else []))
    try:
        engine.until(lambda: engine.root_of(path).is_dir() and any(engine.root_of(path).glob("*/*/result.json")))
        with dashboard(storage or str(engine.root_of(path) / "study.journal"), folder / "log") as address:
            number = study_of(address, "shifts")
            text = text_of(f"{address}/dashboard/studies/{number}/trials", folder)
        assert process.poll() is None, "the workers were still at it"
        result = json.loads(next(engine.root_of(path).glob("baseline/seed0-*/result.json")).read_text())
        ((value,),) = [[e["metrics"]["FD[judge]"]] for e in result["evaluations"].values()]
        for word in ("Waiting", "Complete", "arm baseline", "shift none", str(value)):
            assert word in text, text
    finally:
        end(process)


@needs_browser
@pytest.mark.slow
def test_a_running_ablation_on_the_journal(tmp_path: Path) -> None:
    look_at_an_ablation(tmp_path, None)


@needs_browser
def test_a_running_ablation_on_postgresql(tmp_path: Path, server: str) -> None:  # noqa: F811
    look_at_an_ablation(tmp_path, server)
