"""What every route shares: the model once it is ready, and whether new work is taken."""

from dataclasses import dataclass

from starlette.requests import Request

from tunewright_server.http.errors import ApiError, model_not_found, unavailable
from tunewright_server.http.metrics import Metrics
from tunewright_server.served import ServedModel

READING_LIMIT = 64 * 2**20  # bytes of all bodies that are being read


@dataclass
class ServerState:
    """Lives on the event loop's thread. `model` and `metrics` are None until the self-test has passed."""

    model: ServedModel | None = None
    metrics: Metrics | None = None
    draining: bool = False  # asked to stop: not ready any more, and still answering whoever has not heard of it yet
    closed: bool = False  # nothing is answered any more
    in_flight: int = 0  # requests being read or answered
    bytes_read: int = 0  # of bodies that are being read
    last_request: float = 0.0  # when one came or ended, in seconds of the event loop's clock

    def begin(self, now: float) -> None:
        self.in_flight += 1
        self.last_request = now

    def end(self, now: float) -> None:
        self.in_flight -= 1
        self.last_request = now

    @property
    def alive(self) -> bool:
        """False only when the engine's loop has ended. Loading, busy and draining are alive."""
        return self.model is None or self.model.engine.alive or self.draining

    @property
    def unready(self) -> str | None:
        """Why no new work is taken, or None."""
        if self.draining:
            return "the server is shutting down"
        if self.model is None:
            return "the model is being loaded"
        return None if self.model.engine.alive else "the engine has stopped"

    def open(self) -> tuple[ServedModel, Metrics]:
        """The model, for new work. Raises `ApiError` 503."""
        if self.closed:
            raise unavailable("the server is shutting down", code="shutting_down")
        if self.model is None or self.metrics is None:
            raise unavailable("the model is being loaded", code="loading")
        if not self.model.engine.alive:
            raise unavailable("the engine has stopped", code="engine_stopped")
        return self.model, self.metrics


def state_of(request: Request) -> ServerState:
    state: ServerState = request.app.state.server
    return state


def check_model(asked: str, model: ServedModel) -> None:
    """Raises `ApiError` 404."""
    if asked != model.name:
        raise model_not_found(asked, model.name)


async def read_body(request: Request, *, limit: int) -> bytes:
    """Read at most `limit` bytes, whatever the headers promise.

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
