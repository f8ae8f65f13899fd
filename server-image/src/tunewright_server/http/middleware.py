"""What every request passes: access control, one log line, and the count of open requests.

Access: an API key, and on a loopback server also a check of `Host`. A web page can resolve its own name to 127.0.0.1 and then read the
server's answers (DNS rebinding). Its requests have that name as `Host`.

Log: method, path, status and duration. Never prompts or answers.

Open requests: during a drain, `Connection: close` is added to every answer, so that clients reconnect elsewhere. A client keeps its
connection for the next request, and a Service does not move an open connection to another server. If the server closed it, a request on its
way could be lost. With `Connection: close` (RFC 9112, section 9.6) none is.
"""

import asyncio
import hmac
import ipaddress
import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tunewright_server.http.errors import ApiError
from tunewright_server.http.state import ServerState

_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches a listener on this IP address."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


class Access:
    """Refuses a request without the key (401) or with another `Host` (403). Health and metrics need no key."""

    def __init__(self, app: ASGIApp, *, api_key: str | None, local: bool) -> None:
        self._app = app
        self._api_key = api_key
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(scope["path"], Headers(scope=scope))):
            await refusal.response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> ApiError | None:
        if self._local and _host_name(headers.get("host", "")) not in _LOCAL_HOSTS:
            return ApiError(
                403,
                f"this server accepts only local requests, and Host is {headers.get('host', '')!r}; use http://127.0.0.1 or http://localhost",
                code="host_not_allowed",
            )
        if self._api_key is None or path.startswith(QUIET) or _has_key(headers, self._api_key):
            return None
        return ApiError(
            401,
            "this server needs its API key; send it as `Authorization: Bearer KEY`",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )


def _has_key(headers: Headers, key: str) -> bool:
    scheme, _, sent = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), key.encode())


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # for example a bracket without its pair
        return None


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
