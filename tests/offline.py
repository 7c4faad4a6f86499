"""The tests' network: this machine alone."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook (sys.addaudithook) that lets a socket connect to this machine only.

    Raises:
        PermissionError: a connection to, or the look-up of, anything else.
    """
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path in the file system is local
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if isinstance(host, bytes):
        host = host.decode()
    if host and not _is_here(host):
        raise PermissionError(f"A test reached for {host}: tests use this machine alone.")


def _is_here(host: str) -> bool:
    if host in ("localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
