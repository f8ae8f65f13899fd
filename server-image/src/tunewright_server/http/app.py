"""The routes, and one error format for all exceptions. Probes and metrics are here.

Live: no restart is needed. Ready: the server accepts work (the self-test has passed and no shutdown has begun).
`/v2/models/{model}/ready` is the readiness of one model.
Paths: KServe's Open Inference Protocol v2, and vLLM's `/health`.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tunewright_server.http import openai
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST, ApiError
from tunewright_server.http.middleware import Access, AccessLog, Leaving
from tunewright_server.http.state import ServerState, state_of
from tunewright_server.metrics import CONTENT_TYPE
from tunewright_server.served import ServedModel

_UNAVAILABLE = 503


async def live(request: Request) -> Response:
    alive = state_of(request).alive
    return JSONResponse({"live": alive}, 200 if alive else _UNAVAILABLE)


async def ready(request: Request) -> Response:
    reason = state_of(request).unready
    return JSONResponse({"ready": False, "reason": reason}, _UNAVAILABLE) if reason else JSONResponse({"ready": True})


async def model_ready(request: Request) -> Response:
    """Raises `ApiError` 404 or 503."""
    state_of(request).find(request.path_params["model"], ServedModel)
    return await ready(request)


async def metrics(request: Request) -> Response:
    return Response(state_of(request).metrics.exposition(), media_type=CONTENT_TYPE)


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
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        Route("/v2/models/{model:path}/ready", model_ready),
        Route("/health", live),
        Route("/metrics", metrics),
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
