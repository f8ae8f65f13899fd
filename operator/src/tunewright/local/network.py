"""Ports and Services on one machine.

A declared port becomes a free port of the loopback interface, and a Service's name becomes 127.0.0.1. A Service is one fixed port; the
ports of its pods change. It forwards TCP without reading it, as kube-proxy does. New connections go to ready pods in turn, and skip a pod
that does not accept. An open connection stays with its pod until one side ends it, so a draining pod finishes its requests. The Service
ends with its supervisor, and so does the server.
"""

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import Callable, Collection, Sequence

import psutil

LOOPBACK = "127.0.0.1"
# Below the range from which Linux takes ports for outgoing connections (from 32768), so that no connection gets one of these by chance.
LOWEST, HIGHEST = 20000, 32000
TRIES = 200

PIECE_BYTES = 64 * 1024
RETRY_SECONDS = 0.1


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT blocks no server
        try:
            probe.bind((LOOPBACK, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(taken: Collection[int] = ()) -> int:
    """Choose a port on which no process listens. Another process can still take it before it is used; see `is_stolen`."""
    for _ in range(TRIES):
        port = random.randrange(LOWEST, HIGHEST)  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {LOWEST} and {HIGHEST} on {LOOPBACK}")


def is_stolen(port: int, ours: Collection[int]) -> bool:
    """Return whether a process other than `ours` listens on this port."""
    if is_free(port):
        return False
    listeners = [found for found in psutil.net_connections("tcp") if found.status == psutil.CONN_LISTEN and found.laddr.port == port]
    return bool(listeners) and all(found.pid is None or found.pid not in ours for found in listeners)


def resolve(name: str, value: str, *, namespace: str, services: Collection[str]) -> str:
    """Return the value of an environment variable, translated to this machine.

    Only variables that name an address are translated (…ADDR, …HOST, …ENDPOINT): a model may have the name of its Service.
    """
    if not name.endswith(("ADDR", "HOST", "ENDPOINT")):
        return value
    if value in ("0.0.0.0", "::"):  # noqa: S104 - all interfaces of a pod; on this machine that would be the whole network
        return LOOPBACK
    for service in services:
        full = rf"(?<![\w.-])([a-z0-9-]+\.)?{re.escape(service)}(\.{re.escape(namespace)}(\.svc(\.cluster\.local)?)?)?(?![\w.-])"
        value = re.sub(full, LOOPBACK, value)
    return value


class Forwarder:
    """Forwards connections to one of `targets()`, local ports of ready pods. A connection waits at most `patience` seconds for a target."""

    def __init__(self, targets: Callable[[], Sequence[int]], *, patience: float = 5.0) -> None:
        self._targets = targets
        self._patience = patience
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    async def start(self, preferred: int | None = None) -> int:
        """Listen, on the previous port if it is free. Returns the port."""
        port = preferred if preferred is not None and is_free(preferred) else free_port()
        self._server = await asyncio.start_server(self._accept, LOOPBACK, port)
        self.port = port
        return port

    async def stop(self) -> None:
        """Stop listening, and close open connections."""
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
                with contextlib.suppress(OSError):  # that pod has just ended: try the next one
                    return await asyncio.open_connection(LOOPBACK, ports[(self._turn + offset) % len(ports)])
            if asyncio.get_running_loop().time() >= deadline:
                return None
            await asyncio.sleep(RETRY_SECONDS)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy bytes until the source ends, then end the other side. An error ends only this direction."""
    try:
        while piece := await source.read(PIECE_BYTES):
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except OSError:  # reset, or not connected any more
        sink.close()
