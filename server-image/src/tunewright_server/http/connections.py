"""Bounds on connections, which uvicorn leaves to a proxy: their number, and the time that each may take to send and to read.

A connection that breaks a bound is cut without an answer: its client does not read, or has none to come. The engine's time for an answer
is not bounded here, and an idle connection between two requests is uvicorn's `timeout_keep_alive`.
"""

import asyncio
from collections import Counter
from enum import Enum, auto
from typing import Any, NamedTuple, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_LIMIT = 64 * 1024  # bytes of a request line and its headers


class Bounds(NamedTuple):
    """What one server takes. Times are in seconds."""

    connections: int = 1024
    from_one_address: int = 512  # a proxy or a node in front of many clients has one address
    head_seconds: float = 15.0  # from the first byte of a request to the end of its headers; on a new connection from its opening
    body_seconds: float = 60.0  # from the headers to the end of the body
    silent_seconds: float = 10.0  # between two pieces of a body
    write_seconds: float = 30.0  # in which a client reads what the buffers hold


class Guard:
    """Counts the open connections of a server. Call it as uvicorn calls a protocol's class."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._open: Counter[str] = Counter()  # address -> connections

    def __call__(self, **arguments: Any) -> "BoundedProtocol":
        return BoundedProtocol(self, **arguments)

    def admit(self, address: str) -> bool:
        """Count a connection, unless there are too many."""
        if self._open[address] >= self.bounds.from_one_address or self._open.total() >= self.bounds.connections:
            return False
        self._open[address] += 1
        return True

    def release(self, address: str) -> None:
        """Count a connection off."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class _Phase(Enum):
    IDLE = auto()  # between two requests
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()


class BoundedProtocol(H11Protocol):
    """One connection, cut when it takes longer than its phase allows."""

    def __init__(self, guard: Guard, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._guard = guard
        self._address: str | None = None  # None: not counted
        self._phase = _Phase.IDLE
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or end it at once."""
        super().connection_made(cast("asyncio.Transport", transport))
        address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._guard.admit(address):
            self.transport.abort()
            return
        self._address = address
        self._enter(_Phase.HEAD)

    def data_received(self, data: bytes) -> None:
        """Read on. What begins a request, or is never read, has the time of a request's head."""
        if self._phase is _Phase.IDLE:
            self._enter(_Phase.HEAD)
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """Wait for the next request, which may be here already."""
        self._enter(_Phase.IDLE)
        if self.transport.get_write_buffer_size():
            self._limit("write", self._guard.bounds.write_seconds)
        super().on_response_complete()
        self._follow()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._limit("write", self._guard.bounds.write_seconds)

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._end("write")

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it off."""
        for name in list(self._timers):
            self._end(name)
        if self._address is not None:
            self._guard.release(self._address)
            self._address = None
        super().connection_lost(exc)

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
        if phase is _Phase.HEAD:
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
