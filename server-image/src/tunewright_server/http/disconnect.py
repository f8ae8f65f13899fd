"""A client that leaves while its answer is being made: the work for it ends."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request


async def unless_disconnected(request: Request, work: Callable[[], Awaitable[None]]) -> bool:
    """Do `work`, and stop it when the client goes away; say whether it was finished."""
    working = asyncio.ensure_future(work())
    listening = asyncio.ensure_future(request.receive())  # the body has been read: only a disconnect can come
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        working.cancel()
        listening.cancel()
