"""The bodies that a model server is reading: bounded together, and none holds a drain.

To add a case, add a row: from which addresses the bodies come, or how a body stalls while the server drains.
"""

import contextlib
import itertools
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from models import TinyModel, build
from serving import PATIENCE, Server, ready_server

from tunewright_server.http.state import READING_LIMIT

HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
OPENED = b'{"model": "tiny", "prompt": "Hello", "max_tokens": 1, "user": "'
CLOSED = b'"}'
LARGE = 15 * 2**20  # bytes; one body may have 16 MiB
TOO_MANY = READING_LIMIT // LARGE + 1
SMALL = {"model": "tiny", "prompt": "Hello", "max_tokens": 1}
ADDRESSES = {
    "one address": ["127.0.0.2"],
    "an address each": [f"127.0.0.{2 + number}" for number in range(TOO_MANY)],
}
# name -> (seconds that a drain may take, whether more bytes come)
STALLS = {"half a body, then nothing": ("300", False), "half a body, then byte by byte": ("1", True)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build(TinyModel()).served_dir, tmp_path_factory.mktemp("server")) as running:
        yield running


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def connect(server: Server, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE, source_address=(address, 0))


def answered(sockets: list[socket.socket]) -> list[socket.socket]:
    return select.select(sockets, [], [], 0.2)[0]


def read(connection: socket.socket) -> bytes:
    return connection.recv(65536).lower()


@pytest.mark.parametrize("addresses", [pytest.param(addresses, id=name) for name, addresses in ADDRESSES.items()])
def test_a_body_beyond_the_limit_of_all_bodies_is_refused(server: Server, addresses: list[str]) -> None:
    """Which one it is depends on which is read last. The others continue, and so do small requests."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(connect(server, address)) for _, address in zip(range(TOO_MANY), itertools.cycle(addresses))]
        for each in sockets:
            each.sendall(HEAD + chunk(OPENED) + chunk(b"x" * LARGE))
        ends = time.monotonic() + PATIENCE
        while not (refused := answered(sockets)):
            assert time.monotonic() < ends
            for each in sockets:
                each.sendall(chunk(b"x"))  # so that none is cut for its silence
        assert len(refused) == 1
        answer = read(refused[0])
        assert answer.startswith(b"http/1.1 503")
        assert b"retry-after: 1" in answer
        assert b"reading_full" in answer
        assert server.post("/v1/completions", json=SMALL).status_code == 200
        for each in set(sockets) - set(refused):
            each.sendall(chunk(CLOSED) + b"0\r\n\r\n")
            assert read(each).startswith(b"http/1.1 200")


@pytest.mark.parametrize(("drain_seconds", "more"), [pytest.param(*case, id=name) for name, case in STALLS.items()])
def test_a_stalled_body_does_not_delay_the_drain(drain_seconds: str, more: bool, tmp_path: Path) -> None:
    """The body never ends, and the drain may take 300 seconds: the server's own bounds end it."""
    with (
        ready_server(build(TinyModel()).served_dir, tmp_path, DRAIN_SECONDS=drain_seconds) as server,
        connect(server, "127.0.0.1") as client,
    ):
        client.sendall(HEAD + chunk(OPENED) + chunk(b"x" * 1000))
        assert server.get("/v2/health/live").status_code == 200  # asked later than the body: that is being read
        server.signal(signal.SIGTERM)
        assert server.logged("draining")["inFlight"] == 1
        ends = time.monotonic() + PATIENCE / 3
        while server.process.poll() is None:
            assert time.monotonic() < ends
            if more:
                with contextlib.suppress(ConnectionError):
                    client.sendall(chunk(b"x"))
            time.sleep(0.1)
        assert server.exit_code() == 0
