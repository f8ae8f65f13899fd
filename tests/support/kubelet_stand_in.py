"""A stand-in for the kubelet's API, where no node can run: it serves logs, and forwards ports of websockets to ports of this machine.

The API server is real and connects to it as to a kubelet. What a real kubelet answers is a test of tests/node.
"""

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Self

from aiohttp import WSMsgType, web

PROTOCOL = "v4.channel.k8s.io"


class KubeletStandIn:
    """Listens on 127.0.0.1 with TLS. `port` is the kubelet's, `target` that of every pod's server."""

    def __init__(self, certificate: Path, key: Path, *, target: int) -> None:
        self.port = 0
        self.requests: list[str] = []
        self._target = target
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate, key)
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", self._logs)
        app.router.add_get("/portForward/{namespace}/{pod}", self._forward)
        self._runner = web.AppRunner(app, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._started.set()

    async def _logs(self, request: web.Request) -> web.Response:
        self.requests.append(request.path_qs)
        lines = [f"{request.match_info['pod']} in {request.match_info['container']}", "caf\u00e9", "end"]
        tail = request.query.get("tailLines")
        return web.Response(text="".join(f"{line}\n" for line in (lines[-int(tail) :] if tail else lines)))

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        """Channel 0 has the data of the port, channel 1 its errors; each begins with the port's number."""
        self.requests.append(request.path_qs)
        socket = web.WebSocketResponse(protocols=(PROTOCOL,))
        await socket.prepare(request)
        port = int(request.query["port"]).to_bytes(2, "little")
        for channel in (0, 1):
            await socket.send_bytes(bytes([channel]) + port)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._target)

        async def answers() -> None:
            while data := await reader.read(65536):
                await socket.send_bytes(b"\0" + data)
            await socket.close()

        answering = asyncio.ensure_future(answers())
        async for message in socket:
            if message.type is WSMsgType.BINARY and message.data[:1] == b"\0":
                writer.write(message.data[1:])
        writer.close()
        answering.cancel()
        return socket
