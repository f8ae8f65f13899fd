"""What the routes of all encoders share: the model, the lengths, the queue, the errors and the outer form of an answer.

A route reads its request with `read`, makes a row of each text, has them run by `run_rows`, and describes each with `listed`.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse

from tunewright_server.engine.loop_thread import EngineStoppedError, QueueFullError
from tunewright_server.engine.request import Failed
from tunewright_server.engine.row_queue import EncoderEvent, RowAnswer, TokenRow
from tunewright_server.http.errors import invalid, too_many_requests, unavailable
from tunewright_server.http.formats import JsonObject, usage
from tunewright_server.http.generation import bridge, check_vocabulary, ended
from tunewright_server.http.parameters import Body, String, parse
from tunewright_server.http.state import BODY_LIMIT, ServerState, read_body, state_of
from tunewright_server.http.stream import unless_disconnected
from tunewright_server.served_encoder import ServedEncoder


class EncoderRequest(Body):
    """The parameters that the requests of all encoders share. A text is never cut."""

    without_effect: ClassVar[frozenset[str]] = frozenset({"user", "request_id", "cache_salt"})
    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        "messages": (),
        "mm_processor_kwargs": ({},),
        "padding": ("do_not_pad",),
        "priority": (0,),
        "truncate_prompt_tokens": (),
        "truncation_side": (),
    }

    model: String | None = None  # may be left out where one model is served


Asked = TypeVar("Asked", bound=EncoderRequest)
Encoder = TypeVar("Encoder", bound=ServedEncoder)


async def read(request: Request, body: type[Asked], kind: type[Encoder]) -> tuple[Asked, Encoder]:
    """Read a request, and find the model that it names. Raises `ApiError`."""
    state = state_of(request)
    state.open()
    asked = parse(body, await read_body(request, limit=BODY_LIMIT), longest_prompt=state.registry.longest_prompt)
    return asked, state.find(_name(asked, state), kind)


def check_count(texts: Sequence[object], model: ServedEncoder, *, param: str) -> None:
    """Raises `ApiError` 400 for more texts than the queue holds."""
    if len(texts) > model.engine.queue_limit:
        raise invalid(f"{len(texts)} texts in one request are more than the queue holds ({model.engine.queue_limit})", param=param)


def check_row(row: TokenRow, at: int, model: ServedEncoder, *, param: str) -> TokenRow:
    """Return the row of the text at this place. Raises `ApiError` 400 if it does not fit: none is cut."""
    if not row.tokens:
        raise invalid(f"the text at {at} has no tokens", param=param)
    if len(row) > model.engine.max_length:
        raise invalid(
            f"this server's maximum context length is {model.engine.max_length} tokens; the text at {at} has {len(row)}",
            param=param,
            code="context_length_exceeded",
        )
    check_vocabulary(row.tokens, model, param=param)
    return row


def check_together(rows: Sequence[TokenRow], model: ServedEncoder, *, param: str) -> None:
    """Raises `ApiError` 400 for rows that the queue cannot hold together."""
    if sum(map(len, rows)) > model.engine.queue_tokens:
        raise invalid(
            f"this request has {sum(map(len, rows))} tokens, and the queue holds {model.engine.queue_tokens}; send fewer texts at once",
            param=param,
        )


async def run_rows(request: Request, model: ServedEncoder, rows: Sequence[TokenRow]) -> list[RowAnswer] | None:
    """Have rows run, and count them. None: the client has left. Raises `ApiError` 429, 500 or 503."""
    state = state_of(request)
    found: list[RowAnswer] = []

    async def work() -> None:
        found.extend(await _encode(state, model, rows))

    if not await unless_disconnected(request, work):
        return None
    for answer, row in zip(found, rows, strict=True):
        model.metrics.observe_row(answer, tokens=len(row))
    return found


def listed(prefix: str, model: ServedEncoder, rows: Sequence[TokenRow], data: Sequence[JsonObject]) -> JSONResponse:
    """Answer with one object for each text. The identifier begins with `prefix`."""
    return JSONResponse(
        {
            "id": f"{prefix}-{secrets.token_hex(16)}",
            "object": "list",
            "created": int(time.time()),
            "model": model.name,
            "data": data,
            "usage": usage(prompt_tokens=sum(map(len, rows)), completion_tokens=0),
        }
    )


def _name(asked: EncoderRequest, state: ServerState) -> str:
    if asked.model is not None:
        return asked.model
    if len(state.registry.names) > 1:
        names = ", ".join(map(repr, state.registry.names))
        raise invalid(f"model is required, since this server has several: {names}", param="model", code="missing_required_parameter")
    return state.registry.names[0]


async def _encode(state: ServerState, model: ServedEncoder, rows: Sequence[TokenRow]) -> list[RowAnswer]:
    """Raises `ApiError` 429, 500 or 503. However it ends, no row of it stays in the queue."""
    state.open()
    events: asyncio.Queue[tuple[int, EncoderEvent]] = asyncio.Queue()
    try:
        tickets = model.engine.submit(rows, bridge(asyncio.get_running_loop(), events))
    except QueueFullError:
        raise too_many_requests() from None
    except EngineStoppedError:
        raise unavailable("the engine has stopped", code="engine_stopped") from None
    try:
        found: dict[int, RowAnswer] = {}
        while len(found) < len(rows):
            index, event = await events.get()
            if isinstance(event, Failed):
                raise ended(event)
            found[index] = event
    finally:
        for ticket in tickets:
            ticket.cancelled = True
    return [found[index] for index in range(len(rows))]
