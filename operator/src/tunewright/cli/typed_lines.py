"""Reads lines of standard input without blocking the event loop, from a terminal, a pipe or a file."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

CHUNK_BYTES = 65536


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
