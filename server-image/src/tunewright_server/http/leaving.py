"""Counts open requests. During a drain it adds `Connection: close` to every answer, so that clients reconnect elsewhere.

A client keeps its connection for the next request, and a Service does not move an open connection to another server. If the server closed
it, a request on its way could be lost. With `Connection: close` (RFC 9112, section 9.6) none is.
"""

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright_server.http.access_log import QUIET
from tunewright_server.http.state import ServerState


class Leaving:
    def __init__(self, app: ASGIApp, state: ServerState) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(QUIET):
            await self._app(scope, receive, send)
            return

        async def say_goodbye(message: Message) -> None:
            if message["type"] == "http.response.start" and self._state.draining:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        clock = asyncio.get_running_loop().time
        self._state.begin(clock())
        try:
            await self._app(scope, receive, say_goodbye)
        finally:
            self._state.end(clock())
