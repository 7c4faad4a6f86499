"""The tests' network: this machine alone, in this process and in every process that it starts.

An audit hook holds Python to it everywhere. What C libraries and other programs open (gloo, libpq, a browser) it does
not see: where the kernel allows it the tests have a network namespace of their own as well, with loopback alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# event -> which argument is the address, or the name that is looked up
_EVENTS = {
    "socket.connect": 1,
    "socket.bind": 1,
    "socket.sendto": 1,
    "socket.sendmsg": 1,
    "socket.getaddrinfo": 0,
    "socket.gethostbyname": 0,
    "socket.gethostbyaddr": 0,
    "socket.getnameinfo": 0,
}


_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, linux/sched.h
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP: linux/sockios.h, linux/if.h


def leave_network() -> bool:
    """Move this thread, and all that it will start, to a network that has loopback alone; whether it is on such a one.

    Linux allows it to root. Nobody else is asked for anything: there the audit hook is all there is.
    """
    import socket

    if not sys.platform.startswith("linux"):
        return False
    if [name for _, name in socket.if_nameindex()] == ["lo"]:  # somebody has moved us, or the process above
        with contextlib.suppress(OSError):
            _start_loopback()
    else:
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as old:
            if libc.unshare(_NEW_NETWORK):
                return False
            try:
                _start_loopback()
            except OSError:
                if libc.setns(old.fileno(), _NEW_NETWORK):
                    raise
                return False
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"  # gloo asks for this host's name otherwise, whose address is not here
    return True


def _start_loopback() -> None:
    import fcntl
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack("16xh14x", fcntl.ioctl(any_socket, _GET_FLAGS, request))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def stay_offline() -> None:
    """From now on, for ever: an audit hook cannot be taken away again, which is what is wanted here."""
    sys.addaudithook(refuse_network)
    paths = [str(HERE.parent), str(HERE / "offline_children"), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)


def refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook that lets a socket, of whatever family, talk to this machine only, and look up nothing else.

    Raises:
        PermissionError: a connection to, a datagram for, a port of, or the look-up of, anything else.
    """
    if event not in _EVENTS:
        return
    address = arguments[_EVENTS[event]]
    if isinstance(address, tuple):
        host = address[0] if address else None
        if isinstance(host, int):  # netlink, which asks the kernel; a virtual machine's socket is another machine
            family = getattr(arguments[0], "family", None)
            if getattr(family, "name", "") != "AF_NETLINK":
                raise PermissionError(errno.EACCES, f"A test reached for {address}: tests use this machine alone.")
            return
    elif event in ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"):
        return  # a path in the file system is local, and None is whom it is connected to already
    else:
        host = address
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if host and not _is_here(host):
        raise PermissionError(errno.EACCES, f"A test reached for {host}: tests use this machine alone.")


def _is_here(host: str) -> bool:
    import ipaddress
    import socket  # not above: most processes never open one, and some tests count what is imported

    if host in ("localhost", socket.gethostname()):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
