"""A small client for a served model: OpenAI's chat completions and completions over HTTP, streamed, and vLLM's /classify."""

import json
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

import aiohttp

from tunewright_contract import environment

ChatTurn = dict[str, str]
Asked = str | Sequence[ChatTurn]
"""A prompt to complete, a source to translate or to summarize, or a conversation to answer."""


NO_ANSWER = "(no answer)"  # what a person reads for an empty one


class ToClassify(str):
    """A text to label."""

    __slots__ = ()


class ToFind(str):
    """A question in the first line, and in the lines after it the context in which to find the answer."""

    __slots__ = ()


class AskError(Exception):
    """The server could not be reached, or refused the request; the message has the cause."""


async def stream_answer(
    url: str, *, model: str, asked: Asked, max_tokens: int | None = None, temperature: float = 0.0
) -> AsyncIterator[str]:
    """Yield the answer's pieces as they arrive. `url` is the server's root, e.g. `http://127.0.0.1:8080`.

    The answer to `ToClassify` is its label, in one piece. Without `max_tokens` the server decides.
    The API key is read from the environment (`TUNEWRIGHT_API_KEY`). Raises AskError.
    """
    if isinstance(asked, ToFind):
        yield await _found(url, model=model, text=asked)
        return
    if isinstance(asked, ToClassify):
        yield await _label(url, model=model, text=asked)
        return
    path = "completions" if isinstance(asked, str) else "chat/completions"
    body: dict[str, Any] = {"model": model, "temperature": temperature, "stream": True}
    body |= {"prompt": asked} if isinstance(asked, str) else {"messages": list(asked)}
    body |= {"max_tokens": max_tokens} if max_tokens else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=120)) as session,
            session.post(f"{url}/v1/{path}", json=body, headers=_headers()) as response,
        ):
            if response.status != 200:
                raise AskError(_reason(response.status, await response.text()))
            ended = False
            async for line in response.content:
                event = line.decode().strip().removeprefix("data: ")
                ended = ended or event == "[DONE]"
                if event and not ended:
                    yield _piece(json.loads(event))
            if not ended:
                raise AskError(f"the answer from {url} broke off: the server ended before it was complete")
    except aiohttp.ClientError as error:
        raise AskError(f"no answer from {url}: {error}") from error
    except ValueError as error:
        raise AskError(f"{url} does not answer as the OpenAI API does: {error}") from error


async def _label(url: str, *, model: str, text: str) -> str:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session,
            session.post(f"{url}/v1/classify", json={"model": model, "input": text}, headers=_headers()) as response,
        ):
            body = await response.text()
            if response.status != 200:
                raise AskError(_reason(response.status, body))
            return str(json.loads(body)["data"][0]["label"])
    except aiohttp.ClientError as error:
        raise AskError(f"no answer from {url}: {error}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise AskError(f"{url} does not answer /v1/classify as vLLM does: {error}") from error


async def _found(url: str, *, model: str, text: str) -> str:
    question, _, context = text.partition("\n")
    if not context.strip():
        raise AskError("the model answers from a text: write the question in the first line, and the text in the lines after it")
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session,
            session.post(
                f"{url}/v1/question-answering", json={"model": model, "question": question, "context": context}, headers=_headers()
            ) as response,
        ):
            body = await response.text()
            if response.status != 200:
                raise AskError(_reason(response.status, body))
            return str(json.loads(body)["data"][0]["answer"]) or NO_ANSWER
    except aiohttp.ClientError as error:
        raise AskError(f"no answer from {url}: {error}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise AskError(f"{url} does not answer /v1/question-answering: {error}") from error


def _headers() -> dict[str, str]:
    key = os.environ.get(environment.API_KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


async def answer(url: str, *, model: str, asked: Asked, max_tokens: int | None = None) -> str:
    """Return the whole greedy answer."""
    return "".join([piece async for piece in stream_answer(url, model=model, asked=asked, max_tokens=max_tokens)])


def _piece(event: dict[str, Any]) -> str:
    if "error" in event:
        raise AskError(f"the server stopped: {event['error'].get('message', event['error'])}")
    choice = (event.get("choices") or [{}])[0]
    return str(choice.get("text") or choice.get("delta", {}).get("content") or "")


def _reason(status: int, body: str) -> str:
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = body[:300].strip() or "nothing more"
    return f"the server answered {status}: {message}"
