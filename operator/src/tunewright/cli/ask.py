"""A small client for a served model: OpenAI's chat completions over HTTP, streamed."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

Message = dict[str, str]


class AskError(Exception):
    """The server could not be reached, or refused; the text says which."""


async def stream_answer(
    url: str, *, model: str, messages: Sequence[Message], max_tokens: int = 256, temperature: float = 0.0
) -> AsyncIterator[str]:
    """Yield the answer's pieces as they arrive. `url` is the server's root, e.g. `http://127.0.0.1:8080`."""
    body = {"model": model, "messages": list(messages), "max_tokens": max_tokens, "temperature": temperature, "stream": True}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=120)) as session,
            session.post(f"{url}/v1/chat/completions", json=body) as response,
        ):
            if response.status != 200:
                raise AskError(_reason(response.status, await response.text()))
            async for line in response.content:
                event = line.decode().strip()
                if event.startswith("data: ") and event != "data: [DONE]":
                    yield _piece(json.loads(event.removeprefix("data: ")))
    except aiohttp.ClientError as error:
        raise AskError(f"no answer from {url}: {error}") from error


async def answer(url: str, *, model: str, messages: Sequence[Message], max_tokens: int = 256) -> str:
    """Return the whole greedy answer."""
    return "".join([piece async for piece in stream_answer(url, model=model, messages=messages, max_tokens=max_tokens)])


def _piece(event: dict[str, Any]) -> str:
    if "error" in event:
        raise AskError(str(event["error"].get("message", event["error"])))
    choices = event.get("choices") or [{}]
    return str(choices[0].get("delta", {}).get("content") or "")


def _reason(status: int, body: str) -> str:
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body[:300]
    return f"the server answered {status}: {message}"
