"""The operator's own ports, with bounds on time, bytes and connections, so that no client exhausts memory.

Each request here is short: a probe, a scrape, a report of at most 64 KiB. So one deadline for a whole connection bounds the time for its
header, its body and the reading of the answer, and a connection carries one request. A protocol in front of aiohttp's enforces the limits:
a refused or closed connection needs no parser, no task and no buffer.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from contextlib import AsyncExitStack
from typing import NamedTuple, cast

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)
ALL = "0.0.0.0"  # noqa: S104 - a pod's address is not known in advance
REMEMBERED = 10_000  # addresses with recent requests; beyond that the least recent are dropped, and so may send again


class _Ours(logging.Filter):
    """Drops log records of clients' errors: aiohttp logs a traceback for each malformed request, and anyone can send those."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError | ConnectionError))


log.addFilter(_Ours())


class PortBounds(NamedTuple):
    """The bounds of one port."""

    connections: int = 256  # at a time
    from_one_address: int = 32  # of them. A node's pods may share its address
    seconds: float = 15.0  # from its beginning to its end
    bytes_in: int = 96 * 1024  # header and body


DEFAULT = PortBounds()


class PortGuard:
    """Keeps one port's connections within its bounds, and creates the protocol of each.

    If an address has too many, it loses its oldest: requests take milliseconds, and an open one must not block others behind the same NAT.
    If there are too many in total, the address with most connections loses its oldest, so that a flood does not block probes.
    """

    def __init__(self, server: web.Server, bounds: PortBounds) -> None:
        self._server = server
        self.bounds = bounds
        self._open: dict[str, list[GuardedConnection]] = {}  # address -> its connections, the oldest first

    def __call__(self) -> "GuardedConnection":
        return GuardedConnection(self)

    def admit(self, connection: "GuardedConnection", address: str) -> asyncio.Protocol:
        """Return the protocol of a connection."""
        if len(there := self._open.get(address, [])) >= self.bounds.from_one_address:
            there[0].cut()
        if sum(map(len, self._open.values())) >= self.bounds.connections:
            busiest = max(self._open, key=lambda other: len(self._open[other]))
            self._open[busiest][0].cut()
        self._open.setdefault(address, []).append(connection)
        return self._server()

    def release(self, connection: "GuardedConnection", address: str) -> None:
        """Remove a connection. A second call has no effect."""
        if connection in (there := self._open.get(address, [])):
            there.remove(connection)
            if not there:
                del self._open[address]


class GuardedConnection(asyncio.Protocol):
    """One connection, which is closed when its time or its bytes are used up."""

    def __init__(self, guard: PortGuard) -> None:
        self._guard = guard
        self._inner: asyncio.Protocol | None = None
        self._address = ""
        self._left = guard.bounds.bytes_in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Serve it."""
        self._transport = transport = cast("asyncio.Transport", transport)  # of TCP, as all are here
        self._address = str((transport.get_extra_info("peername") or ("",))[0])
        self._inner = self._guard.admit(self, self._address)
        self._deadline = asyncio.get_running_loop().call_later(self._guard.bounds.seconds, self.cut)
        self._inner.connection_made(transport)

    def cut(self) -> None:
        """Close it at once. It no longer counts."""
        self._guard.release(self, self._address)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, and close the connection if there are too many."""
        self._left -= len(data)
        if self._left < 0:
            self.cut()
        elif self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        """Remove it from the count."""
        if self._inner is None:
            return
        self._deadline.cancel()
        self._guard.release(self, self._address)
        self._inner.connection_lost(error)


async def serve(stack: AsyncExitStack, app: web.Application, port: int, *, host: str = ALL, bounds: PortBounds = DEFAULT) -> None:
    """Listen until the stack is closed."""
    app.on_response_prepare.append(_close_after)
    # The rest of a body that was refused is not read.
    runner = web.AppRunner(app, access_log=None, logger=log, lingering_time=0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    guard = PortGuard(cast("web.Server", runner.server), bounds)  # there since setup
    listener = await asyncio.get_running_loop().create_server(guard, host, port, backlog=bounds.connections)
    stack.callback(listener.close)


async def _close_after(_: web.Request, response: web.StreamResponse) -> None:
    response.force_close()


class RateLimit:
    """`burst` requests at once, and `per_second` in the long run. `clock` is monotonic, in seconds."""

    def __init__(self, *, per_second: float, burst: int, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._empty_until: dict[Hashable, float] = {}  # when the bucket is full again without further requests; oldest first

    def peek(self, who: Hashable) -> float:
        """Return what `wait` would, without counting a request."""
        now = self._clock()
        over = max(self._empty_until.get(who, now), now) + 1 / self._per_second - now - self._burst / self._per_second
        return over if over > 1e-9 else 0.0

    def wait(self, who: Hashable) -> float:
        """Count a request. Returns 0.0 if it is allowed, else the seconds until one is. A refused request does not count."""
        now = self._clock()
        full = max(self._empty_until.pop(who, now), now) + 1 / self._per_second
        over = full - now - self._burst / self._per_second
        if over > 1e-9:  # the clock's resolution
            self._empty_until[who] = full - 1 / self._per_second
            return over
        self._empty_until[who] = full
        if len(self._empty_until) > REMEMBERED:
            del self._empty_until[next(iter(self._empty_until))]
        return 0.0
