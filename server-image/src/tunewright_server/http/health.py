"""Probes and metrics.

Live: no restart is needed. Ready: the server accepts work (the self-test has passed and no shutdown has begun).
`/v2/models/{model}/ready` is the readiness of one model.
Paths: KServe's Open Inference Protocol v2, and vLLM's `/health`.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunewright_server.http.state import state_of
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
