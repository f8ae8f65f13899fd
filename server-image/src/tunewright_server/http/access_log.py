"""One log line per request: method, path, status and duration. Never prompts or answers."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)
QUIET = ("/v2/health/", "/health", "/metrics")  # probes and scrapes request these every few seconds


class AccessLog:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(QUIET):
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0  # stays 0 if the client disconnected before an answer began

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            fields = {"method": scope["method"], "path": scope["path"], "status": status, "seconds": round(time.monotonic() - began, 4)}
            log.info("request", extra={"fields": fields})
