"""Errors in OpenAI's format: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

RETRY_AFTER_SECONDS = "1"
CLIENT_CLOSED_REQUEST = 499  # nginx's code: the client has disconnected
_SHOWN = 1024  # characters of a message, which can quote a request


class ApiError(Exception):
    """A refusal with its HTTP status. `param` names the field at fault, `code` is stable and for programs."""

    def __init__(self, status: int, message: str, *, code: str, param: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        kind = "server_error" if self.status >= 500 else "rate_limit_error" if self.status == 429 else "invalid_request_error"
        return {"error": {"message": _shown(str(self)), "type": kind, "param": self.param and _shown(self.param), "code": self.code}}

    @property
    def response(self) -> JSONResponse:
        return JSONResponse(self.body, self.status, headers=self.headers)


def _shown(text: str) -> str:
    """Return a text that UTF-8 can encode, cut to the limit."""
    clipped = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return clipped.encode(errors="backslashreplace").decode()


def invalid(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param=param, code=code)


def model_not_found(asked: str, served: Sequence[str]) -> ApiError:
    names = ", ".join(map(repr, served))
    return ApiError(404, f"the model {asked!r} does not exist; this server has {names}", param="model", code="model_not_found")


def wrong_route(model: str, paths: Sequence[str]) -> ApiError:
    return ApiError(
        404, f"the model {model!r} does not answer here; use POST {' or '.join(paths)}", param="model", code="model_not_supported"
    )


def too_many_requests() -> ApiError:
    return ApiError(
        429, "too many requests are waiting; try again shortly", code="queue_full", headers={"Retry-After": RETRY_AFTER_SECONDS}
    )


def unavailable(message: str, *, code: str) -> ApiError:
    return ApiError(503, message, code=code, headers={"Retry-After": RETRY_AFTER_SECONDS})


def engine_failed(message: str) -> ApiError:
    return ApiError(500, message, code="engine_error")
