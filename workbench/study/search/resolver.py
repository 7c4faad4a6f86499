"""The configuration's parser as a service: the launching process has it, workers (which load no torch) ask.

A request is one line of JSON on a Unix socket, {"trial": 3, "values": {...}}; so is the answer: {"plan": TEXT}, or
{"refused": REASON} where the parser does not take the values.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.study import plan as plans
from workbench.study.errors import SweepError
from workbench.study.search.planning import TrialPlanner


class Refused(ValueError):
    """The parser does not take these values."""


class Resolver:
    """Answers one worker after the other; a context manager."""

    def __init__(self, address: Path, planner: TrialPlanner) -> None:
        self._address, self._planner = address, planner
        self._socket = socket.socket(socket.AF_UNIX)
        self._thread = threading.Thread(target=self._serve, daemon=True, name="resolver")
        self._closed = False

    def __enter__(self) -> Resolver:
        self._socket.bind(str(self._address))
        self._socket.listen(64)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._socket.close()
        try:
            self._address.unlink()
        except FileNotFoundError:
            pass  # its folder went first

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                if self._closed:
                    return
                raise
            with connection:
                try:
                    with connection.makefile("rb") as stream:
                        request = json.loads(stream.readline())
                    connection.sendall(json.dumps(self._answer(request)).encode() + b"\n")
                except (OSError, ValueError):
                    continue  # the worker died while it asked

    def _answer(self, request: Mapping[str, Any]) -> dict[str, str]:
        try:
            return {"plan": plans.as_text(self._planner.trial(request["trial"], request["values"]))}
        except SweepError as error:
            return {"refused": str(error.__cause__ or error)}
        except Exception as error:  # of whatever a plug-in's constructor does: the worker must not wait for ever
            return {"refused": f"{type(error).__name__}: {error}"}


def ask_plan(address: str, trial: int, values: Mapping[str, Any]) -> str:
    """The plan of a trial as text. Refused where the parser refuses; SweepError where nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(address)
            connection.sendall(json.dumps({"trial": trial, "values": dict(values)}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise SweepError(f"The process that started this worker does not answer ({error}).") from error
    if "refused" in answer:
        raise Refused(answer["refused"])
    return str(answer["plan"])
