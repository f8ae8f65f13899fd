"""The operator's own ports: half-open, slow, endless and too many clients are cut, and the others are answered.

To add a case, add a row: what a client sends, and then does nothing.
"""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import web
from control_plane import free_ports
from stalled_clients import stalls

from tunewright.reconcile.progress import LIMIT_BYTES, Board, application
from tunewright_runtime.listening import PortBounds, serve

PATH = "/apis/tunewright.io/v1alpha1/namespaces/demo/finetunejobs/bot/status"
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t\r\n"
STALLS = stalls(HEAD, "POST /apis")
QUICK = PortBounds(connections=8, from_one_address=6, seconds=0.5, bytes_in=96 * 1024)


class Authenticator:
    async def authenticate(self, key, token):
        return "uid"


@asynccontextmanager
async def listening(bounds):
    (port,) = free_ports(1)
    async with AsyncExitStack() as stack:
        app = application(Board(), Authenticator(), wake=lambda _: None)
        app.router.add_get("/large", large)
        app.router.add_get("/small", small)
        app.router.add_get("/broken", broken)
        await serve(stack, app, port, host="127.0.0.1", bounds=bounds)
        yield port


async def broken(_: web.Request) -> web.Response:
    return web.Response(status=1 // 0)


async def small(_: web.Request) -> web.Response:
    return web.Response()


async def large(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * 50_000_000)


async def status(port, *, source="127.0.0.1"):
    """Post a report from an address of its own; return the status code, or 0 when the connection is refused."""
    report = {"trainerStatus": {"metrics": [{"name": "global_step", "value": "1"}]}}
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    body = str(report).replace("'", '"')
    writer.write(f"{HEAD}Content-Length: {len(body)}\r\n\r\n{body}".encode())
    try:
        line = await reader.readline()
    except ConnectionResetError:
        line = b""
    writer.close()
    return int(line.split()[1]) if line else 0


async def ends(reader) -> bool:
    """Wait until the other side has ended a connection."""
    try:
        async with asyncio.timeout(20):
            while await reader.read(65536):
                pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("sent", STALLS.values(), ids=STALLS)
async def test_a_stalled_client_is_disconnected(sent, caplog):
    async with listening(QUICK) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        assert await ends(reader)
        writer.close()
    assert caplog.text == ""  # a line for each would fill the log


async def test_a_client_that_sends_byte_by_byte_is_disconnected():
    async with listening(QUICK) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def drip():
            for letter in f"{HEAD}X-Slow: " + "y" * 1000:
                writer.write(letter.encode())
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await ends(reader)
        dripping.cancel()


async def test_a_client_that_does_not_read_is_disconnected():
    async with listening(QUICK) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(2 * QUICK.seconds)
        received = 0
        try:
            while data := await reader.read(2**20):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < 50_000_000
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        f"{HEAD}X: {'y' * 200_000}",
        f"{HEAD}Transfer-Encoding: chunked\r\n\r\n" + "ffff\r\n" + "z" * 0xFFFF + "\r\n" + "ffff\r\n" + "z" * 0xFFFF,
    ],
    ids=["header", "body"],
)
async def test_more_bytes_than_a_report_has_are_not_read(sent):
    async with listening(PortBounds(seconds=30)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent.encode())
        assert await ends(reader)
        assert len(sent) > LIMIT_BYTES
        writer.close()


GARBAGE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01" * 20 + b"\r\n\r\n",
    "no method": b"\r\n\r\n / \r\n\r\n",
    "a header without a colon": HEAD.encode() + b"nonsense\r\n\r\n",
    "two lengths": HEAD.encode() + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length that is no number": HEAD.encode() + b"Content-Length: 1e9\r\n\r\n",
    "a chunk size that is no number": HEAD.encode() + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a NUL in a header": HEAD.encode() + b"X: a\x00b\r\n\r\n",
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "a long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
async def test_malformed_requests_are_answered_and_not_logged(sent, caplog):
    async with listening(QUICK) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await ends(reader)
        writer.close()
        assert await status(port) == 200
    assert caplog.text == ""


async def test_an_error_of_the_operator_is_logged(caplog):
    async with listening(QUICK) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"500"
        writer.close()
    assert "ZeroDivisionError" in caplog.text


async def test_one_address_does_not_use_up_the_connections_of_others_nor_its_own():
    """Jobs behind the same NAT as a client that holds connections are still answered: the oldest is closed."""
    async with listening(QUICK._replace(seconds=30)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0)) for _ in range(10)]
        assert await status(port, source="127.0.0.3") == 200
        assert await status(port, source="127.0.0.2") == 200
        ended = [reader.at_eof() or reader.exception() is not None for reader, _ in held]
        assert ended == [True] * 5 + [False] * 5, "6 of an address at a time, the newest of which was just answered"
        for _, writer in held:
            writer.close()


async def test_half_open_posts_of_many_addresses_do_not_block_other_clients():
    """The address with most connections loses its oldest, so that a probe is answered at any time."""
    async with listening(QUICK._replace(seconds=30)) as port:
        held = []
        for number in range(30):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.1.{number % 3 + 1}", 0))
            writer.write(STALLS["half a body"].encode())
            held.append((reader, writer))
        assert await status(port, source="127.0.2.1") == 200
        ended = [reader.at_eof() or reader.exception() is not None for reader, _ in held]
        assert len(ended) - sum(ended) <= QUICK.connections
        for _, writer in held:
            writer.close()


@pytest.mark.parametrize(("code", "path"), [(200, "/small"), (404, "/nothing")])
async def test_each_connection_carries_one_request(code, path):
    async with listening(PortBounds(seconds=60)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == str(code).encode()
        assert await ends(reader)
        writer.close()
