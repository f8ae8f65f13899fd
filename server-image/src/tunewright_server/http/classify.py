"""`/classify` of vLLM: one text or several, their labels and the probability of each label.

Source: vLLM's vllm/entrypoints/pooling/classify/protocol.py. Its request with `messages` is refused by name.
"""

import asyncio
import secrets
import time
from typing import Annotated, Any, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tunewright_server.encoders import ServedEncoder
from tunewright_server.engine.loop import EngineStoppedError, QueueFullError
from tunewright_server.engine.request import Failed
from tunewright_server.engine.row_queue import EncoderEvent, RowAnswer
from tunewright_server.http.disconnect import unless_disconnected
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST, invalid, too_many_requests, unavailable
from tunewright_server.http.formats import JsonObject, usage
from tunewright_server.http.generation import bridge, check_vocabulary, ended
from tunewright_server.http.limits import check_length
from tunewright_server.http.parameters import Body, String, TokenId, parse, prompts_of
from tunewright_server.http.state import BODY_LIMIT, ServerState, read_body, state_of

Row = tuple[int, ...]


class ClassifyRequest(Body):
    """What vLLM's request holds, as far as it means something here."""

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
    input: (
        String
        | Annotated[list[String], Field(fail_fast=True, min_length=1)]
        | Annotated[list[TokenId], Field(fail_fast=True, min_length=1)]
        | Annotated[list[Annotated[list[TokenId], Field(fail_fast=True)]], Field(fail_fast=True, min_length=1)]
    )
    add_special_tokens: bool | None = None  # to texts; None: yes
    use_activation: bool | None = None  # None: yes; no: `probs` holds logits

    @property
    def texts(self) -> list[str | list[int]]:
        """One text or several; a text is a string or token ids."""
        return prompts_of(self.input)


async def classify(request: Request) -> Response:
    state = state_of(request)
    state.open()
    asked = parse(ClassifyRequest, await read_body(request, limit=BODY_LIMIT), longest_prompt=state.registry.longest_prompt)
    model = state.find(_name(asked, state), ServedEncoder)
    if len(asked.texts) > model.engine.queue_limit:
        raise invalid(f"{len(asked.texts)} texts in one request are more than the queue holds ({model.engine.queue_limit})", param="input")
    rows = await asyncio.to_thread(_rows, asked, model)
    found: list[RowAnswer] = []

    async def work() -> None:
        found.extend(await _encode(state, model, rows))

    if not await unless_disconnected(request, work):
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    for encoded, row in zip(found, rows, strict=True):
        model.metrics.observe_row(encoded, tokens=len(row))
    return JSONResponse(
        {
            "id": "classify-" + secrets.token_hex(16),
            "object": "list",
            "created": int(time.time()),
            "model": model.name,
            "data": [_datum(index, encoded, asked, model) for index, encoded in enumerate(found)],
            "usage": usage(prompt_tokens=sum(map(len, rows)), completion_tokens=0),
        }
    )


def _name(asked: ClassifyRequest, state: ServerState) -> str:
    if asked.model is not None:
        return asked.model
    if len(state.registry.names) > 1:
        names = ", ".join(map(repr, state.registry.names))
        raise invalid(f"model is required, since this server has several: {names}", param="model", code="missing_required_parameter")
    return state.registry.names[0]


def _rows(asked: ClassifyRequest, model: ServedEncoder) -> list[Row]:
    """Tokenize. Raises `ApiError` 400 for a text that does not fit: none is cut."""
    special = asked.add_special_tokens is not False
    rows: list[Row] = []
    for text in asked.texts:
        check_length(text, model, param="input")
        row = model.tokenizer.encode(text, add_special_tokens=special) if isinstance(text, str) else tuple(text)
        if not row:
            raise invalid(f"the text at {len(rows)} has no tokens", param="input")
        if len(row) > model.engine.max_length:
            raise invalid(
                f"this server's maximum context length is {model.engine.max_length} tokens; the text at {len(rows)} has {len(row)}",
                param="input",
                code="context_length_exceeded",
            )
        check_vocabulary(row, model, param="input")
        rows.append(row)
    if sum(map(len, rows)) > model.engine.queue_tokens:
        raise invalid(
            f"this request has {sum(map(len, rows))} tokens, and the queue holds {model.engine.queue_tokens}; send fewer texts at once",
            param="input",
        )
    return rows


async def _encode(state: ServerState, model: ServedEncoder, rows: list[Row]) -> list[RowAnswer]:
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


def _datum(index: int, encoded: RowAnswer, asked: ClassifyRequest, model: ServedEncoder) -> JsonObject:
    logits = encoded.logits
    return {
        "index": index,
        "label": model.label(logits),
        "probs": [float(each) for each in logits] if asked.use_activation is False else model.probabilities(logits),
        "num_classes": len(logits),
    }
