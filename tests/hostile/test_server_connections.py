"""The model server's connections: slow, half-open and unread ones are cut, and the others are answered.

To add a case, add a row: what a client sends, and then does nothing.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn
from stalled_clients import stalls
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright_server.http.connections import Bounds, Guard

HEAD = "POST /echo HTTP/1.1\r\nHost: x\r\n"
WHOLE = f"{HEAD}Content-Length: 2\r\n\r\nok"
STALLS = {
    **stalls(HEAD, "POST /ec"),
    "half a second request": WHOLE + HEAD,
    "a second request without its body": f"{WHOLE}{HEAD}Content-Length: 60000\r\n\r\n",
    "an answer before the body": "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nx",
}
QUICK = Bounds(
    connections=8, from_one_address=4, kept_free=2, few=2, head_seconds=0.5, body_seconds=2, silent_seconds=0.5, write_seconds=0.5
)
PATIENCE = 20


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def early(_: Request) -> Response:
    return Response(status_code=413)


async def large(_: Request) -> Response:
    return Response(b"x" * 50_000_000)


class Hold:
    """Answers only when the test allows it."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = asyncio.Event()

    async def __call__(self, _: Request) -> Response:
        self.begun += 1
        await self.go.wait()
        return Response()


@contextlib.asynccontextmanager
async def listening(bounds: Bounds, hold: Hold) -> AsyncIterator[int]:
    routes = [
        Route("/echo", echo, methods=["POST"]),
        Route("/early", early, methods=["POST"]),
        Route("/large", large),
        Route("/hold", hold.__call__),
    ]
    with socket.create_server(("127.0.0.1", 0)) as sock:
        config = uvicorn.Config(
            Starlette(routes=routes), http=Guard(bounds), ws="none", lifespan="off", log_config=None, timeout_keep_alive=1
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([sock]))
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield sock.getsockname()[1]
        server.should_exit = True
        await serving


def with_server(test: Callable[[int], Awaitable[None]], bounds: Bounds = QUICK, hold: Hold | None = None) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), listening(bounds, hold or Hold()) as port:
            await test(port)

    asyncio.run(run())


async def until_cut(reader: asyncio.StreamReader) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            received += chunk
    return received


async def answered(port: int, address: str = "127.0.0.1") -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
    writer.write(WHOLE.replace("Host: x", "Host: x\r\nConnection: close").encode())
    try:
        return b"200 OK" in await until_cut(reader)
    finally:
        writer.close()


@pytest.mark.parametrize("sent", [pytest.param(sent, id=name) for name, sent in STALLS.items()])
def test_a_client_that_stops_sending_is_disconnected(sent: str) -> None:
    async def test(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        await until_cut(reader)  # ends only when the server ends it
        writer.close()
        assert await answered(port)

    with_server(test)


@pytest.mark.parametrize("start", [HEAD + "X: ", f"{HEAD}Content-Length: 60000\r\n\r\n"], ids=["headers", "a body"])
def test_a_client_that_sends_slowly_is_disconnected(start: str) -> None:
    async def test(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start.encode())
        cut = asyncio.create_task(until_cut(reader))
        while not cut.done():
            writer.write(b"x")
            await asyncio.sleep(0.1)
        writer.close()

    with_server(test)


def test_a_client_that_stops_reading_is_disconnected() -> None:
    async def test(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(2)
        assert len(await until_cut(reader)) < 50_000_000
        writer.close()

    with_server(test)


def held_by(*counts: int) -> list[str]:
    """The addresses of connections: so many of 127.0.0.2, so many of 127.0.0.3 …"""
    return [f"127.0.0.{2 + number}" for number, count in enumerate(counts) for _ in range(count)]


# name -> (whose connections wait for an answer, whose new connection comes, whether it is answered).
# QUICK has 8 connections, 4 for one address, and 2 of the 8 for addresses with fewer than 2.
ANSWERING = {
    "two addresses, then a third": (held_by(4, 2), "127.0.0.9", True),
    "two addresses, then the first": (held_by(4, 2), "127.0.0.2", False),
    "two addresses, then the second": (held_by(4, 2), "127.0.0.3", False),
    "many addresses": (held_by(*[1] * 8), "127.0.0.100", False),
}


@pytest.mark.parametrize(("held", "comes", "works"), [pytest.param(*case, id=name) for name, case in ANSWERING.items()])
def test_connections_whose_requests_are_complete_keep_their_places(held: list[str], comes: str, works: bool) -> None:
    hold = Hold()

    async def test(port: int) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0)) for address in held]
        for _, writer in opened:
            writer.write(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n")
        while hold.begun < len(held):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
        assert await answered(port, comes) is works
        hold.go.set()
        for reader, writer in opened:
            assert b"200 OK" in await reader.readline()
            writer.close()

    with_server(test, QUICK._replace(head_seconds=PATIENCE), hold)
