"""The model server's table of connections, filled by clients that send no complete request: a new connection, a probe's, is answered.

To add a case, add a row: from how many addresses, what each connection sends, and whether an older connection of another address is kept.
"""

import contextlib
import resource
import socket
from collections.abc import Iterator

import pytest
from models import TinyModel, build
from serving import Server, ready_server

from tunewright_server.http.connections import Bounds

FLOOD = Bounds().connections + 100
PROBE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
HALF = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\n{"
OLDER = "127.0.1.1"
MANY = FLOOD // Bounds().few + 1

# name -> (addresses, what each connection sends, whether it then reads an answer, whether an older connection is kept)
FILLED = {
    "one address, nothing": (1, b"", False, True),
    "two addresses, nothing": (2, b"", False, True),
    "two addresses, half a head": (2, PROBE[:-2], False, True),
    "two addresses, half a body": (2, HALF, False, True),
    "two addresses, idle after an answer": (2, PROBE, True, True),
    "many addresses, half a body": (MANY, HALF, False, False),
}


@contextlib.contextmanager
def open_files(soft: int) -> Iterator[None]:
    """With this limit of open files, in this process and those that it starts."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < soft:
        pytest.skip(f"the test needs {soft} open files, and this machine allows {hard} (`ulimit -Hn`)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Started with few open files, as in a container: it must allow itself as many as it has connections."""
    folder = build(TinyModel()).served_dir
    with contextlib.ExitStack() as stack:
        with open_files(512):
            running = stack.enter_context(ready_server(folder, tmp_path_factory.mktemp("server")))
        stack.enter_context(open_files(2 * FLOOD))
        yield running


def connect(server: Server, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(address, 0))


def answer(connection: socket.socket, request: bytes) -> bytes:
    """The beginning of the answer; empty when the server has cut the connection."""
    try:
        connection.sendall(request)
        return connection.recv(65536)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(("addresses", "sent", "read", "kept"), [pytest.param(*case, id=name) for name, case in FILLED.items()])
def test_a_full_table_does_not_block_probes(server: Server, addresses: int, sent: bytes, read: bool, kept: bool) -> None:
    with contextlib.ExitStack() as opened:
        older = opened.enter_context(connect(server, OLDER))
        for number in range(FLOOD):
            held = opened.enter_context(connect(server, f"127.0.2.{1 + number % addresses}"))
            if sent and not read:
                with contextlib.suppress(ConnectionError):
                    held.sendall(sent)
            elif read:
                assert b"200 OK" in answer(held, sent)
        for address in ("127.0.0.1", "127.0.2.1"):
            with connect(server, address) as probe:
                assert b"200 OK" in answer(probe, PROBE)
        assert (b"200 OK" in answer(older, PROBE)) is kept
