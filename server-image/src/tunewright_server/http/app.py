"""The routes, and one error format for all exceptions."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from tunewright_server.http import health, openai
from tunewright_server.http.access import Access
from tunewright_server.http.access_log import AccessLog
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST, ApiError
from tunewright_server.http.leaving import Leaving
from tunewright_server.http.state import ServerState

Handler = Callable[[Request], Awaitable[Response]]

log = logging.getLogger(__name__)


def create_app(state: ServerState, answering: Mapping[str, Handler], *, api_key: str | None = None, local: bool = False) -> Starlette:
    """Build the application around `state`, which the shell fills and drains. `local`: only this machine reaches it.

    `answering`: the handler of each path of all kinds of graph. On a route that the named model lacks, the error names the model's routes.
    """
    routes = [
        *(Route(path, handler, methods=["POST"]) for path, handler in answering.items()),
        Route("/v1/models", openai.models),
        Route("/v1/models/{model:path}", openai.one_model),
        Route("/v2/health/live", health.live),
        Route("/v2/health/ready", health.ready),
        Route("/v2/models/{model:path}/ready", health.model_ready),
        Route("/health", health.live),
        Route("/metrics", health.metrics),
    ]
    app = Starlette(
        routes=routes, exception_handlers={ApiError: _refused, HTTPException: _not_routed, ClientDisconnect: _gone, Exception: _defect}
    )
    app.state.server = state
    app.state.shows_origin = api_key is not None  # each request that reaches a route has the key
    app.add_middleware(Access, api_key=api_key, local=local)
    app.add_middleware(AccessLog)
    app.add_middleware(Leaving, state=state)
    return app


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - registered for it
    return error.response


async def _not_routed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    message = f"{request.method} {request.url.path}: {error.detail}"
    return ApiError(error.status_code, message, code=error.detail.lower().replace(" ", "_"), headers=error.headers).response


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_CLOSED_REQUEST)


async def _defect(request: Request, error: Exception) -> Response:
    log.error("a defect in %s", request.url.path, exc_info=error)
    return ApiError(500, "the server has a defect; its log has the details", code="internal_error").response
