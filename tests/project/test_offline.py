"""The suite itself cannot leave the machine."""

from __future__ import annotations

import socket
import urllib.request

import pytest


def test_other_machines_are_out_of_reach() -> None:
    with pytest.raises(PermissionError, match=r"192\.0\.2\.1"):  # TEST-NET-1, nobody's address
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(OSError, match="tests use this machine alone"):  # urllib wraps it
        urllib.request.urlopen("http://weights.example/model.safetensors", timeout=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(PermissionError):
        datagrams.sendto(b"x", ("192.0.2.1", 53))


def test_this_machine_is_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()
