"""Handles Ctrl-C and SIGTERM, so that a job's processes end with SIGTERM first."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Stop:
    """Somebody wants us to stop. The second time, `again` is called: they are in a hurry."""

    def __init__(self, *, again: Callable[[], None]) -> None:
        self._asked = asyncio.Event()
        self._again = again

    def listen(self) -> None:
        """Take over SIGINT and SIGTERM of this process's event loop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._ask)

    async def wait(self) -> None:
        """Wait until somebody asks."""
        await self._asked.wait()

    async def unless(self, work: Awaitable[T]) -> T | None:
        """Return what some work gives, or None, its work cancelled, when somebody asks us to stop first."""
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
            self._again()
        self._asked.set()
