"""A proxy between one operator and its API server that causes faults: it ends the operator at a chosen write, refuses, disconnects, delays.

It ends the operator's TLS with a certificate of the control plane's own authority, knows the operator by a token of its own, and asks the
API server with the identity of the given kubeconfig. Requests are passed on unchanged, watches as they stream. Whatever a test says here
holds from the next request on.
"""

import asyncio
import json
import secrets
import ssl
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web
from certificates import make_server
from yarl import URL

WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_HOP_BY_HOP = frozenset({"host", "connection", "transfer-encoding", "content-length", "authorization", "keep-alive"})
_NOT_OURS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # headers that only the operator sends
_CERTIFICATE = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of the operator."""

    method: str
    path: str
    watch: bool
    size: int = 0  # bytes of the body

    @property
    def writes(self) -> bool:
        return self.method in WRITING


@dataclass(frozen=True, kw_only=True)
class _Strike:
    nth: int
    moment: str
    blow: Callable[[], None]
    counts: Callable[[Asked], bool]


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    status: int
    retry_after: int | None
    which: Callable[[Asked], bool]


def every(_: Asked) -> bool:
    return True


def writes(asked: Asked) -> bool:
    return asked.writes


class FaultProxy:
    """One operator's way to the API server. `original` is a kubeconfig with a client certificate, as `ControlPlane` writes them."""

    def __init__(self, original: Path) -> None:
        self._original, self._folder = original, original.parent
        self._token = secrets.token_hex(16)
        self._strike: _Strike | None = None
        self._refusal: _Refusal | None = None
        self._watches: dict[web.StreamResponse, asyncio.Event] = {}  # and whether each may show what it has
        self._flowing = True
        self._transports: weakref.WeakSet[asyncio.Transport] = weakref.WeakSet()
        self._loop = asyncio.new_event_loop()
        self.delay_seconds = 0.0
        self.written: list[Asked] = []
        self.refused = 0
        self.opened = 0  # watches
        self.held = 0  # pieces of watches, each with one object or more
        self.cut = 0
        self.port = 0

    @property
    def kubeconfig(self) -> Path:
        """The operator's kubeconfig, with the proxy's address. It is in the folder of the original, because its paths are relative."""
        path = self._original.with_name(f"proxy-{self.port}.kubeconfig")
        config = json.loads(self._original.read_text())
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{self.port}"
        config["users"][0]["user"] = {"token": self._token}
        path.write_text(json.dumps(config))
        return path

    def strike(self, nth: int, moment: str, blow: Callable[[], None], *, counts: Callable[[Asked], bool] = writes) -> None:
        """Call `blow` once, at the nth request from now on that counts (1 is the next): "before" it is passed on, and then it never is;
        "after" the API server has answered, and then the answer is lost; or "meanwhile", between the question and an answer that arrives."""
        assert moment in ("before", "after", "meanwhile")
        self._strike = _Strike(nth=nth, moment=moment, blow=blow, counts=counts)

    def has_struck(self) -> bool:
        return self._strike is None

    def refuse(self, status: int, *, which: Callable[[Asked], bool] = every, retry_after: int | None = None) -> None:
        """Answer with this status instead of asking the API server, until `relent`. What is open stays open.

        Status 0 ends the connection without an answer.
        """
        self._refusal = _Refusal(status=status, retry_after=retry_after, which=which)

    def relent(self) -> None:
        self._refusal = None

    def hold_watches(self) -> None:
        """Let watches show nothing new, those that are open and those that are opened, until `let_watches_go_on`."""

        def hold() -> None:
            self._flowing = False
            for flows in self._watches.values():
                flows.clear()

        self._loop.call_soon_threadsafe(hold)

    def let_watches_go_on(self, *, only_new: bool = False) -> None:
        """Let them show what they held back; or those only that are opened from now on: the others stay silent for as long as they are open."""

        def let_go() -> None:
            self._flowing = True
            for flows in () if only_new else self._watches.values():
                flows.set()

        self._loop.call_soon_threadsafe(let_go)

    def cut_watches(self) -> int:
        """Break all open watches in the middle of their answers. Returns how many there were."""

        async def cut() -> int:
            found = list(self._watches)
            for watch in found:
                _abort(watch._req)
            self.cut += len(found)
            return len(found)

        return asyncio.run_coroutine_threadsafe(cut(), self._loop).result(timeout=60)

    def __enter__(self) -> Self:
        with _CERTIFICATE:
            if not (self._folder / "proxy.crt").exists():
                make_server(self._folder, "proxy", "IP:127.0.0.1")
        started: threading.Event = threading.Event()
        threading.Thread(target=self._serve, args=(started,), daemon=True, name="fault-proxy").start()
        assert started.wait(60), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._until_stopped(started))
        self._loop.close()

    async def _until_stopped(self, started: threading.Event) -> None:
        self._stopping = asyncio.Event()
        server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        server.load_cert_chain(self._folder / "proxy.crt", self._folder / "proxy.key")
        config = json.loads(self._original.read_text())
        user = config["users"][0]["user"]
        upstream = ssl.create_default_context(cafile=str(self._folder / config["clusters"][0]["cluster"]["certificate-authority"]))
        upstream.load_cert_chain(self._folder / user["client-certificate"], self._folder / user["client-key"])
        self._server = str(config["clusters"][0]["cluster"]["server"]).rstrip("/")
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        # An operator that is gone takes its watches with it; what it has written is passed on anyway (see `_ask`).
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server)
        await site.start()
        self.port = runner.addresses[0][1]
        connector = aiohttp.TCPConnector(limit=0, ssl=upstream)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout(), skip_auto_headers=_NOT_OURS
        ) as self._session:
            started.set()
            await self._stopping.wait()
            await runner.cleanup()
            for transport in self._transports:  # without waiting for a graceful close
                transport.abort()
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
        await asyncio.sleep(0.2)  # for TLS to say goodbye upstream; what has not by then is left to the interpreter, which says so

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _refusal(401, None)
        if request.transport is not None:
            self._transports.add(request.transport)
        body = await request.read()
        asked = Asked(method=request.method, path=request.path, watch=request.query.get("watch") == "true", size=len(body))
        if self.delay_seconds:
            await asyncio.sleep(self.delay_seconds)
        refusal = self._refusal
        if refusal is not None and refusal.which(asked):
            self.refused += 1
            return _refusal(refusal.status, refusal.retry_after) if refusal.status else _abort(request)
        strike = self._is_struck(asked)
        moment = strike.moment if strike else ""
        if strike and moment != "after":
            await asyncio.to_thread(strike.blow)
        if moment == "before":
            return _abort(request)
        if asked.writes:
            self.written.append(asked)
        try:
            if asked.watch:
                return await self._stream(request)
            answer = await asyncio.shield(asyncio.ensure_future(self._ask(request, body)))
        except aiohttp.ClientError:  # the API server is not there, or went away in the middle: so does this
            return _abort(request)
        if strike and moment == "after":
            await asyncio.to_thread(strike.blow)
            return _abort(request)
        return answer

    def _is_struck(self, asked: Asked) -> _Strike | None:
        """Return whether a fault is due at this request."""
        strike = self._strike
        if strike is None or not strike.counts(asked):
            return None
        self._strike = replace(strike, nth=strike.nth - 1) if strike.nth > 1 else None
        return strike if strike.nth <= 1 else None

    async def _ask(self, request: web.Request, body: bytes) -> web.Response:
        async with self._session.request(request.method, self._target(request), headers=_headers(request), data=body) as answer:
            content = await answer.read()
            return web.Response(status=answer.status, body=content, headers=_without_hops(answer.headers))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        async with self._session.get(self._target(request), headers=_headers(request)) as answer:
            response = web.StreamResponse(status=answer.status, headers=_without_hops(answer.headers))
            await response.prepare(request)
            self._watches[response] = flows = asyncio.Event()
            self.opened += 1
            if self._flowing:
                flows.set()
            try:
                async for piece in answer.content.iter_any():
                    self.held += not flows.is_set()
                    await flows.wait()
                    await response.write(piece)
            finally:
                del self._watches[response]
            return response

    def _target(self, request: web.Request) -> URL:
        return URL(f"{self._server}{request.raw_path}", encoded=True)


def _headers(request: web.Request) -> Any:
    return _without_hops(request.headers)


def _without_hops(headers: Any) -> Any:
    kept = headers.copy()
    for name in headers:
        if name.lower() in _HOP_BY_HOP:
            kept.popall(name, None)
    return kept


def _abort(request: Any) -> web.StreamResponse:
    """End the connection without an answer, or in the middle of one."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _refusal(code: int, retry_after: int | None) -> web.Response:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": "User operator cannot do this: refused by a test" if code == 403 else "refused by a test",
        "reason": "Forbidden" if code == 403 else "",
    }
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return web.json_response(status, status=code, headers=headers)
