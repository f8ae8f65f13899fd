"""The server process: opens the port, loads the models, serves, and drains on SIGTERM.

The port answers from the start, so that probes can distinguish loading (live, not ready) from failed.
While it loads there are no requests to finish, so SIGTERM ends it at once. A second SIGTERM or Ctrl-C ends the drain at once.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import uvicorn

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_server import machine
from tunewright_server.capacity import share_memory
from tunewright_server.engine.decoder import resolve_providers
from tunewright_server.graph_kinds import by_name, kind_of, routes_of_kinds
from tunewright_server.http.app import create_app
from tunewright_server.http.connections import HEAD_LIMIT, Bounds, Guard, within_open_files
from tunewright_server.http.middleware import is_loopback
from tunewright_server.http.state import ServerState
from tunewright_server.model_folder import ModelFolder, open_folder
from tunewright_server.refusal import RefusalError
from tunewright_server.served import Registry
from tunewright_server.settings import ServerSettings

log = logging.getLogger(__name__)
_KEEP_ALIVE_SECONDS = 5  # an idle connection is closed then, as clients expect of any server
_QUIET_SECONDS = 1.0  # without a request, after which all proxies are assumed to have removed the server
_LOOK_SECONDS = 0.05
_FLUSH_SECONDS = 5  # to send the last bytes of the last answers


def run(settings: ServerSettings) -> ExitCode:
    """Serve until a stop signal. Raises `RefusalError` if there is nothing to serve, if possible before the port is open."""
    resolve_providers(settings.execution_providers)
    folders = by_name(map(open_folder, settings.model_dirs), only_name=settings.model_name)
    for folder in folders.values():
        kind_of(folder)
    with listening_socket(settings.host, settings.port) as sock:
        return asyncio.run(_serve(settings, folders, sock))


@contextlib.contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Bind the address; port 0 takes a free one. Raises `RefusalError` when that is not possible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise RefusalError(
            "AddressUnusable", f"{environment.HOST}={host!r}: {error.strerror}", suggestion="use an address of this machine, or 0.0.0.0"
        ) from error
    with contextlib.closing(sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(1024)
        except OSError as error:
            raise RefusalError(
                "PortInUse" if error.errno == errno.EADDRINUSE else "AddressUnusable",
                f"cannot listen on {host}:{port}: {error.strerror}",
                suggestion=f"stop its program (`ss -ltnp 'sport = :{port}'` names it), or set {environment.PORT} to another port",
            ) from error
        yield sock


async def _serve(settings: ServerSettings, folders: Mapping[str, ModelFolder], sock: socket.socket) -> ExitCode:
    host, port = sock.getsockname()[:2]
    log.info("listening", extra={"fields": {"host": host, "port": port}})
    state = ServerState(Registry(tuple(folders)))
    stop, hurry = asyncio.Event(), asyncio.Event()

    def told_to_end() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told_to_end)
    server = _Server(
        uvicorn.Config(
            create_app(state, routes_of_kinds(), api_key=settings.api_key, local=is_loopback(host)),
            log_config=None,
            access_log=False,
            lifespan="off",
            http=cast("type[asyncio.Protocol]", Guard(within_open_files(Bounds()))),
            ws="none",
            h11_max_incomplete_event_size=HEAD_LIMIT,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_FLUSH_SECONDS,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    stopping = asyncio.create_task(stop.wait())
    try:
        await _load(state, settings, folders, stopping)
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        await _drain(state, hurry, settings.drain_seconds, connections=lambda: len(server.server_state.connections))
    finally:
        server.should_exit = True
        await serving
        _stop_engines(state)
    return ExitCode.DONE


class _Server(uvicorn.Server):
    """Handles the signals itself: uvicorn would close the port at once, and connections would be refused instead of answered with 503."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _load(state: ServerState, settings: ServerSettings, folders: Mapping[str, ModelFolder], stopping: asyncio.Task[bool]) -> None:
    """Load one model after the other; they answer when all are loaded. Raises `RefusalError` for the first that cannot be served."""
    shares = share_memory([folder.weight_bytes for folder in folders.values()], machine.memory_limit())
    for (name, folder), memory_bytes in zip(folders.items(), shares, strict=True):
        kind = kind_of(folder)
        loading = asyncio.create_task(asyncio.to_thread(kind.load, folder, settings, state.metrics, name=name, memory_bytes=memory_bytes))
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            log.info("stopped while loading")
            os._exit(ExitCode.DONE)  # ONNX Runtime cannot be interrupted, and an orderly exit would wait for its thread
        try:
            model = await loading
        except RefusalError as refusal:
            if len(folders) == 1:
                raise
            raise refusal.about(f"model {name!r}") from refusal
        state.registry.add(model, paths=TASKS[folder.manifest.task].routes)
        log.info("loaded" if len(folders) > 1 else "ready", extra={"fields": model.facts})
    if len(folders) > 1:
        log.info("ready", extra={"fields": {"models": list(folders)}})


def _stop_engines(state: ServerState) -> None:
    for model in state.registry:
        model.engine.stop()


async def _drain(state: ServerState, hurry: asyncio.Event, limit_seconds: float, *, connections: Callable[[], int]) -> None:
    """Drain: answer until no request has come for a while, but no longer than the limit. Answers have `Connection: close`.

    An open connection can carry another request, so the server waits until idle connections have been closed.
    """
    clock = asyncio.get_running_loop().time
    state.draining = True
    began = clock()
    log.info("draining", extra={"fields": {"inFlight": state.in_flight, "limitSeconds": limit_seconds}})
    while clock() < began + limit_seconds and not hurry.is_set():
        patience = _QUIET_SECONDS + (_KEEP_ALIVE_SECONDS if connections() else 0)
        if not state.in_flight and clock() >= max(began, state.last_request) + patience:
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await hurry.wait()
    state.closed = True
    if state.in_flight:
        log.warning("unfinished answers are ended", extra={"fields": {"inFlight": state.in_flight}})
        await asyncio.to_thread(_stop_engines, state)
