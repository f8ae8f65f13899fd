"""A Service on this machine: one stable port in front of pods whose ports change.

It forwards TCP without reading it, like kube-proxy. New connections go to ready pods in turn, except pods that do not accept. An open
connection stays with its pod until one side closes it, so a draining pod finishes its requests.
The Service ends with its supervisor, as does the server.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from tunewright.local.network import LOOPBACK, free_port, is_free

PIECE_BYTES = 64 * 1024
RETRY_SECONDS = 0.1


class Forwarder:
    """Forwards connections to one of `targets()`, local ports of ready pods. A connection waits `patience` seconds for one to be there."""

    def __init__(self, targets: Callable[[], Sequence[int]], *, patience: float = 5.0) -> None:
        self._targets = targets
        self._patience = patience
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, preferred: int | None = None) -> int:
        """Listen, on the port of last time if it is free. Returns the port."""
        port = preferred if preferred is not None and is_free(preferred) else free_port()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, port)
        self.port = port
        return port

    async def stop(self) -> None:
        """Stop listening and drop what is still open."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            if (target := await self._connect()) is not None:
                inward, outward = target
                writers.append(outward)
                await asyncio.gather(_pump(reader, outward), _pump(inward, writer))
        finally:
            for side in writers:
                side.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            ports = list(self._targets())
            self._turn += 1
            for offset in range(len(ports)):
                with contextlib.suppress(OSError):  # that pod has just gone: the next one
                    return await asyncio.open_connection(LOOPBACK, ports[(self._turn + offset) % len(ports)])
            if asyncio.get_running_loop().time() >= deadline:
                return None
            await asyncio.sleep(RETRY_SECONDS)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Carry bytes until the source ends, and pass the end on. A side that breaks off ends only this direction."""
    try:
        while piece := await source.read(PIECE_BYTES):
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except OSError:  # reset, or not connected any more
        sink.close()
