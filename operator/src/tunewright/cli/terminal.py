"""Input of a terminal while a job runs: Ctrl-C, and typed lines."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

CHUNK_BYTES = 65536


class Stop:
    """The user pressed Ctrl-C, or SIGTERM came. At the second signal `again` is called, to stop at once."""

    def __init__(self, *, again: Callable[[], None]) -> None:
        self._asked = asyncio.Event()
        self.again = again

    def listen(self) -> None:
        """Take over SIGINT and SIGTERM of this process's event loop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    async def wait(self) -> None:
        """Wait for the signal."""
        await self._asked.wait()

    async def unless(self, work: Awaitable[T]) -> T | None:
        """Return the result of some work. If the signal comes first, cancel the work and return None."""
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                return working.result()
            return None
        finally:
            for task in (working, stopping):
                task.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)

    def _ask(self) -> None:
        if self._asked.is_set():
            self.again()
        self._asked.set()


async def typed_lines(descriptor: int) -> AsyncIterator[str]:
    """Yield each line without its end. The last may lack a newline. A thread reading `input()` could not be stopped by Ctrl-C; this can."""
    rest = b""
    while True:
        with suppress(PermissionError):  # epoll does not watch files: they are always ready
            await _readable(descriptor)
        chunk = os.read(descriptor, CHUNK_BYTES)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines if chunk else [rest] if rest else []:
            yield line.decode(errors="replace").rstrip("\r")
        if not chunk:
            return


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
