"""Ends the work for a client that disconnects before its answer is complete."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request


async def unless_disconnected(request: Request, work: Callable[[], Awaitable[None]]) -> bool:
    """Do `work`, and stop it if the client disconnects. Return whether it was finished."""
    working = asyncio.ensure_future(work())
    listening = asyncio.ensure_future(request.receive())  # the body has been read, so the next message is a disconnect
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        working.cancel()
        listening.cancel()
