"""State of all routes: the ready models, and whether the server accepts work."""

from dataclasses import dataclass, field
from typing import TypeVar

from starlette.requests import Request

from tunewright_server.http.errors import ApiError, model_not_found, unavailable, wrong_route
from tunewright_server.metrics import Metrics
from tunewright_server.served import Registry, ServedModel

Model = TypeVar("Model", bound=ServedModel)
BODY_LIMIT = 16 * 2**20  # bytes of one body
READING_LIMIT = 64 * 2**20  # bytes of all bodies that are being read


@dataclass
class ServerState:
    """Use it on the event loop's thread only. The registry has a model once its self-test has passed."""

    registry: Registry = field(default_factory=Registry)
    metrics: Metrics = field(default_factory=Metrics)
    draining: bool = False  # after SIGTERM: not ready, but still answering clients whose proxies have not removed the server yet
    closed: bool = False  # no request is answered any more
    in_flight: int = 0  # requests being read or answered
    bytes_read: int = 0  # of bodies that are being read
    last_request: float = 0.0  # when a request last began or ended, in seconds of the event loop's clock

    def begin(self, now: float) -> None:
        self.in_flight += 1
        self.last_request = now

    def end(self, now: float) -> None:
        self.in_flight -= 1
        self.last_request = now

    @property
    def alive(self) -> bool:
        """False only when the loop of an engine has ended. Loading, busy and draining are alive."""
        return self.draining or all(model.engine.alive for model in self.registry)

    @property
    def unready(self) -> str | None:
        """Why no new work is accepted, or None."""
        if self.draining:
            return "the server is shutting down"
        if not self.registry.complete:
            return "the model is being loaded"
        return None if self.alive else "the engine has stopped"

    def open(self) -> None:
        """Count a new request during the block. Raises `ApiError` 503 if no model can take it."""
        if self.closed:
            raise unavailable("the server is shutting down", code="shutting_down")
        if not self.registry.complete:
            raise unavailable("the model is being loaded", code="loading")
        if not any(model.engine.alive for model in self.registry):
            raise _stopped()

    def find(self, name: str, kind: type[Model]) -> Model:
        """Return a model for new work. Raises `ApiError`: 404 when no model of this name and kind is served, and 503."""
        self.open()
        model = self.registry.get(name)
        if model is None:
            raise model_not_found(name, self.registry.names)
        if not isinstance(model, kind):
            raise wrong_route(name, self.registry.paths(name))
        if not model.engine.alive:
            raise _stopped()
        return model


def _stopped() -> ApiError:
    return unavailable("the engine has stopped", code="engine_stopped")


def state_of(request: Request) -> ServerState:
    state: ServerState = request.app.state.server
    return state


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read at most `limit` bytes, whatever Content-Length is.

    Raises `ApiError` 413 beyond that, and 503 while the bodies that are being read are too much together.
    """
    state = state_of(request)
    body = bytearray()
    try:
        async for chunk in request.stream():
            state.bytes_read += len(chunk)
            body += chunk
            if len(body) > limit:
                raise ApiError(413, f"the body is larger than {limit} bytes", code="request_too_large")
            if state.bytes_read > READING_LIMIT:
                raise unavailable("too many requests are being read; try again shortly", code="reading_full")
    finally:
        state.bytes_read -= len(body)
    return bytes(body)
