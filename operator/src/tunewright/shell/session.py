"""kopf's HTTP session to the API server, with bounded decoding and paging, which takes the events of watches itself (ADR 31).

kopf accepts an operator's own session (`kopf.AiohttpSession`), and aiohttp a session's own response class (`response_class`).
Lists have a limit in bytes; longer ones are repeated in shorter pages. Lists and watches are decoded object by object
(tunewright_runtime/decoding.py), so that no object can end a watch.
"""

import asyncio
import asyncio.sslproto
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import Any

import aiohttp
import kopf
from yarl import URL

from tunewright.kube.kinds import RESOURCES, SCHEME, WATCHED
from tunewright.observe.raw import text
from tunewright_runtime.client import SINGLE_BYTES, PageSizes
from tunewright_runtime.decoding import JsonDecoder

_CHUNK_BYTES = 2**16
_TLS_BUFFER_BYTES = 2**15  # a record has 16 KiB. By default each connection keeps 256 KiB, and a namespace has ten watches
_DECODER = JsonDecoder(SCHEME)
_KINDS = {RESOURCES[kind].plural: kind for kind in WATCHED}
_OF_OBJECTS = frozenset({"ADDED", "MODIFIED", "DELETED"})

Take = Callable[[str, Mapping[str, Any]], None]  # a kind and an event: its type, and its object


class Response(aiohttp.ClientResponse):
    """An answer whose lists contain only objects that can be decoded."""

    whole: bytes | None = None  # the body of a list, once `fits` has read it

    async def fits(self, limit: int) -> bool:
        """Read a list of at most so many bytes. For a longer one, close the connection and return False."""
        parts, size = [], 0
        async for part in self.content.iter_chunked(_CHUNK_BYTES):
            parts.append(part)
            size += len(part)
            if size > limit:
                self.close()
                return False
        self.whole = b"".join(parts)
        return True

    async def json(self, **how: Any) -> Any:
        """Return a list as Python values, and anything else as aiohttp does."""
        if self.whole is None:
            return await super().json(**how)
        whole, self.whole = self.whole, b""
        return await asyncio.to_thread(_DECODER.decode_list, whole)


class WatchedEvents:
    """A watch's stream. `take` gets each event of an object, and kopf in its place a bookmark of the same version.

    So kopf continues an interrupted watch where it ended, but does not handle the objects. Other attributes are those of the stream.
    """

    def __init__(self, content: aiohttp.StreamReader, take: Callable[[Mapping[str, Any]], None]) -> None:
        self._content = content
        self._take = take

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield whole lines. Raises ClientPayloadError for an endless line: kopf then lists and watches again."""
        rest = b""
        async for data in self._content.iter_chunked(min(size, _CHUNK_BYTES)):
            *lines, rest = (rest + data).split(b"\n")
            if lines:
                yield b"".join([json.dumps(await self._passed_on(line)).encode() + b"\n" for line in lines if line])
            if len(rest) > SINGLE_BYTES:
                raise aiohttp.ClientPayloadError(f"a line of a watch has more than {SINGLE_BYTES} bytes")
        if rest:
            yield rest

    async def _passed_on(self, line: bytes) -> Mapping[str, Any]:
        event = _DECODER.decode_event(line) if len(line) < _CHUNK_BYTES else await asyncio.to_thread(_DECODER.decode_event, line)
        if event["type"] not in _OF_OBJECTS:
            return event
        self._take(event)
        return {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": text(event, "object", "metadata", "resourceVersion")}}}


class Session:
    """The part of `aiohttp.ClientSession` that kopf uses: request, headers, closed and close.

    Sessions of the same connection are equal: after refused credentials, kopf compares the new login's session with the old one, and ends.
    """

    def __init__(self, session: aiohttp.ClientSession, info: kopf.ConnectionInfo, *, page: int, take: Take) -> None:
        self._session = session
        self._info = info
        self._pages = PageSizes(page)
        self._take = take
        self.headers = session.headers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Session) and self._info == other._info

    def __hash__(self) -> int:
        return hash(self._info)

    @property
    def closed(self) -> bool:
        """Return whether it has been closed."""
        return self._session.closed

    async def close(self) -> None:
        """Close it, and its connections."""
        await self._session.close()

    async def request(self, method: str, url: str, **how: Any) -> aiohttp.ClientResponse:
        """Send a request. Repeat a list in shorter pages until one fits."""
        place = URL(url)
        if "watch" in place.query:
            return await self._watch(method, place, **how)
        if "limit" not in place.query:
            return await self._session.request(method, place, **how)
        what = place.path
        while True:
            response = await self._session.request(method, place.update_query(limit=str(self._pages.size(what))), **how)
            if not isinstance(response, Response) or response.status != 200:
                return response
            if await response.fits(self._pages.limit_bytes(what)):
                self._pages.fitted(what)
                return response
            self._pages.too_long(what)

    async def _watch(self, method: str, place: URL, **how: Any) -> aiohttp.ClientResponse:
        response = await self._session.request(method, place, **how)
        if response.status == 200:
            response.content = WatchedEvents(response.content, partial(self._take, _KINDS[place.name]))  # type: ignore[assignment]
        return response


def session_of(info: kopf.ConnectionInfo, *, page: int, take: Take) -> kopf.AiohttpSession:
    """Return kopf's connection with the operator's session. `page`: the most objects of a list; `take` gets each event of a watch."""
    asyncio.sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()), headers=info.as_http_headers(), response_class=Response
    )
    return kopf.AiohttpSession(server=info.server, aiohttp_session=Session(session, info, page=page, take=take))  # type: ignore[arg-type]
