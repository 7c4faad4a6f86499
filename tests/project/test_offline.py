"""The suite itself cannot leave the machine, and neither can the processes that it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.conftest import ALONE
from workbench.study.surroundings import child_environment

# TEST-NET-1 and the documentation's IPv6: nobody's addresses. One line a way out.
WAYS_OUT = {
    "tcp": "socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "tcp6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    "tcp6 scope": "socket.socket(socket.AF_INET6).connect(('fe80::1%lo', 80, 0, 1))",
    "tcp in 6": "socket.socket(socket.AF_INET6).connect(('::ffff:192.0.2.1', 80))",
    "connect_ex": "socket.socket().connect_ex(('192.0.2.1', 80))",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
    "udp6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).sendto(b'x', ('2001:db8::1', 53))",
    "udp flags": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', 0, ('192.0.2.1', 53))",
    "udp message": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 53))",
    "udp connected": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))",
    "dns": "socket.getaddrinfo('weights.example', 443)",
    "dns bytes": "socket.getaddrinfo(b'weights.example', 443)",
    "dns old": "socket.gethostbyname('weights.example')",
    "dns old, more": "socket.gethostbyname_ex('weights.example')",
    "dns backwards": "socket.gethostbyaddr('192.0.2.1')",
    "dns names": "socket.getnameinfo(('192.0.2.1', 80), 0)",
    "a port elsewhere": "socket.create_server(('192.0.2.1', 0))",
    "url": "urllib.request.urlopen('http://weights.example/model.safetensors', timeout=1)",
}
TRY = """
import socket, sys, urllib.request
failed = []
for name, way in {ways!r}.items():
    try:
        eval(way)
    except Exception as error:
        chain = []
        while error is not None:
            chain.append(str(error))
            error = error.__cause__ or error.__context__
        if not any("tests use this machine alone" in text for text in chain):
            failed.append(f"{{name}}: {{chain}}")
    else:
        failed.append(f"{{name}}: went through")
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
    socket.create_connection(("localhost", server.getsockname()[1])).close()
first, second = socket.socketpair()
first.sendall(b"x")
sys.exit("\\n".join(failed) or 0)
"""


@pytest.mark.parametrize("way", WAYS_OUT)
def test_other_machines_are_out_of_reach(way: str) -> None:
    assert socket and urllib.request
    with pytest.raises(OSError, match="tests use this machine alone"):  # urllib wraps it
        eval(WAYS_OUT[way])


def test_this_machine_is_within_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
        socket.create_connection(("localhost", server.getsockname()[1])).close()
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        socket.create_connection(server.getsockname()[:2]).close()


def test_children_and_theirs_are_held_alike() -> None:
    """By the environment: what a sweep gives its cells is taken from it as well."""
    code = TRY.format(ways=WAYS_OUT)
    grandchild = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {code!r}]).returncode)"
    for environment in (dict(os.environ), child_environment(os.environ)):
        done = subprocess.run([sys.executable, "-c", grandchild], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_programs_that_no_hook_holds_have_no_network_either(request: pytest.FixtureRequest) -> None:
    """As gloo, libpq and a browser are: an interpreter that reads no PYTHONPATH stands for them."""
    if not request.config.stash[ALONE]:
        pytest.skip("the kernel gives the tests no network of their own: only to root, on Linux")
    code = (
        "import socket\n"
        "server = socket.create_server(('', 0))  # every interface that there is\n"
        "socket.create_connection(('127.0.0.1', server.getsockname()[1])).close()\n"
        "socket.create_connection(('192.0.2.1', 80), timeout=9)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert "unreachable" in done.stderr and done.returncode == 1
