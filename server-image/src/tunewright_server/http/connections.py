"""Limits on connections, which uvicorn leaves to a proxy: their number, and the time to send and to read.

A connection that exceeds a limit is closed without an answer. The engine's time for an answer is not limited here. uvicorn's
`timeout_keep_alive` limits an idle connection between two requests.

If there are too many connections, a new one replaces one without a complete request, so that a flood does not block probes.
"""

import asyncio
import resource
from collections import Counter
from enum import Enum, auto
from typing import Any, NamedTuple, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_LIMIT = 64 * 1024  # bytes of a request line and its headers
OPEN_FILES = 8192  # for the process; asyncio accepts all waiting connections before any is counted


class Bounds(NamedTuple):
    """The bounds of one server. Times are in seconds."""

    connections: int = 1024
    from_one_address: int = 512  # a proxy or a node in front of many clients has one address
    kept_free: int = 64  # of them, for addresses with fewer than `few`
    few: int = 8
    head_seconds: float = 15.0  # from the first byte of a request to the end of its headers; on a new connection from its opening
    body_seconds: float = 60.0  # from the headers to the end of the body
    silent_seconds: float = 10.0  # between two pieces of a body
    write_seconds: float = 30.0  # in which a client must read the buffered data


def within_open_files(bounds: Bounds) -> Bounds:
    """Raise this process's limit of open files, and return the bounds that fit in it: without a free file nothing is accepted."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft // 2 >= bounds.connections:
        return bounds
    return bounds._replace(connections=soft // 2, from_one_address=min(bounds.from_one_address, soft // 4))


class Guard:
    """Counts the open connections of a server. Call it as uvicorn calls a protocol's class."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._open: Counter[str] = Counter()  # address -> connections
        self._waiting: dict[BoundedProtocol, None] = {}  # those without a complete request, the longest first

    def __call__(self, **arguments: Any) -> "BoundedProtocol":
        return BoundedProtocol(self, **arguments)

    def admit(self, address: str) -> bool:
        """Count a connection. If the table is full, it replaces one without a complete request; False if there is none."""
        if not self._has_room(address):
            longest = self._longest_waiting(address)
            if longest is None:
                return False
            longest.cut()
        self._open[address] += 1
        return True

    def release(self, connection: "BoundedProtocol", address: str) -> None:
        """Remove a connection from the count."""
        self.answers(connection)
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]

    def waits(self, connection: "BoundedProtocol") -> None:
        """Mark a connection as without a complete request."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def answers(self, connection: "BoundedProtocol") -> None:
        """Mark a connection as with a complete request: it is not replaced until its answer is written."""
        self._waiting.pop(connection, None)

    def _has_room(self, address: str) -> bool:
        held = self._open[address]
        free = self.bounds.connections - self._open.total()
        return held < self.bounds.from_one_address and free > (0 if held < self.bounds.few else self.bounds.kept_free)

    def _longest_waiting(self, address: str) -> "BoundedProtocol | None":
        """An address with many connections loses one of its own first, and never takes the place of one with few."""
        held = self._open[address]
        if held < self.bounds.few:
            return next(iter(self._waiting), None)
        own = next((each for each in self._waiting if each.address == address), None)
        if own or held >= self.bounds.from_one_address:
            return own
        return next((each for each in self._waiting if self._open[each.address] >= self.bounds.few), None)


class _Phase(Enum):
    IDLE = auto()  # between two requests
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()


class BoundedProtocol(H11Protocol):
    """One connection, which is closed if a phase of it takes too long."""

    def __init__(self, guard: Guard, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._guard = guard
        self.address = ""
        self._counted = False
        self._phase = _Phase.IDLE
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or close it at once."""
        super().connection_made(cast("asyncio.Transport", transport))
        self.address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._guard.admit(self.address):
            self.transport.abort()
            return
        self._counted = True
        self._guard.waits(self)
        self._enter(_Phase.HEAD)

    def data_received(self, data: bytes) -> None:
        """Read data. The time of a request's head starts with its first byte, or with data that is never read."""
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may have arrived already."""
        self._enter(_Phase.IDLE)
        if self._counted:
            self._guard.waits(self)
        if self.transport.get_write_buffer_size():
            self._limit("write", self._guard.bounds.write_seconds)
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        """Start the write timeout: the client does not read its answer."""
        super().pause_writing()
        self._limit("write", self._guard.bounds.write_seconds)

    def resume_writing(self) -> None:
        """Stop the write timeout."""
        super().resume_writing()
        self._end("write")

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove it from the count."""
        for name in list(self._timers):
            self._end(name)
        self._count_off()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close it at once. It no longer counts."""
        self._count_off()
        self.transport.abort()

    def _count_off(self) -> None:
        if self._counted:
            self._counted = False
            self._guard.release(self, self.address)

    def _follow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._enter(_Phase.BODY if self.cycle.more_body else _Phase.ANSWER)
        if self._phase is _Phase.BODY:
            self._limit("silence", self._guard.bounds.silent_seconds)

    def _enter(self, phase: _Phase) -> None:
        if phase is self._phase:
            return
        self._phase = phase
        self._end("phase")
        self._end("silence")
        if phase is _Phase.ANSWER:
            self._guard.answers(self)
        elif phase is _Phase.HEAD:
            self._limit("phase", self._guard.bounds.head_seconds)
        elif phase is _Phase.BODY:
            self._limit("phase", self._guard.bounds.body_seconds)

    def _limit(self, name: str, seconds: float) -> None:
        self._end(name)
        cut = self._cut_unread if name == "write" else self.transport.abort
        self._timers[name] = self.loop.call_later(seconds, cut)

    def _cut_unread(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    def _end(self, name: str) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
