"""Access control: an API key, and on a loopback server also a check of `Host`.

A web page can resolve its own name to 127.0.0.1 and then read the server's answers (DNS rebinding). Its requests have that name as `Host`.
"""

import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tunewright_server.http.access_log import QUIET
from tunewright_server.http.errors import ApiError

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
