"""Server-sent events: `data: {json}` per chunk and `data: [DONE]` at the end (WHATWG HTML, section 9.2; OpenAI API reference).

The work for a client that disconnects before its answer is complete is ended.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from tunewright_server.http.errors import ApiError
from tunewright_server.http.formats import Format, JsonObject, usage
from tunewright_server.http.generation import Answers


async def unless_disconnected(request: Request, work: Callable[[], Awaitable[None]]) -> bool:
    """Do `work`, and stop it if the client disconnects. Return whether it was finished."""
    working = asyncio.ensure_future(work())
    listening = asyncio.ensure_future(request.receive())  # the body has been read, so the next message is a disconnect
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        working.cancel()
        listening.cancel()


_DONE = b"data: [DONE]\n\n"


class EventStream(StreamingResponse):
    """Streams answers, and always closes them at the end, even if the client disconnected before the first byte."""

    def __init__(self, answers: Answers, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._answers.close()


async def stream_chunks(
    answers: Answers, form: Format, head: dict[str, Any], *, choices: int, prompt_tokens: int | None, continuous_usage: bool
) -> AsyncIterator[bytes]:
    """Yield chunks as bytes. With `prompt_tokens` the last chunk has the usage; every other chunk then has `usage: null`,
    or the usage so far with `continuous_usage`.

    A failure in the middle is an event with `error`, because the status line was already sent.
    """
    generated, shown = [0] * choices, [0] * choices  # tokens, characters

    def extra() -> JsonObject:
        if prompt_tokens is None:
            return {}
        return {"usage": usage(prompt_tokens=prompt_tokens, completion_tokens=sum(generated)) if continuous_usage else None}

    try:
        for index in range(choices):
            if opening := form.opening(index):
                yield _event({**head, "choices": [opening], **extra()})
        async for index, progress in answers:
            generated[index] = progress.tokens
            if piece := form.piece(index, progress, offset=shown[index]):
                yield _event({**head, "choices": [piece], **extra()})
            shown[index] += len(progress.text)
    except ApiError as error:
        yield _event(error.body)
        return
    if prompt_tokens is not None:
        yield _event({**head, "choices": [], "usage": usage(prompt_tokens=prompt_tokens, completion_tokens=sum(generated))})
    yield _DONE


def _event(content: JsonObject) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
