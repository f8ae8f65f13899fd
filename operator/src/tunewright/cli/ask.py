"""A small client for a served model: OpenAI's chat completions and completions over HTTP, streamed, and the routes of encoders."""

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, ClassVar

import aiohttp

from tunewright_contract import environment
from tunewright_contract.capabilities.tasks import HeadKind
from tunewright_contract.words import in_list, in_words

ChatTurn = dict[str, str]
Asked = str | Sequence[ChatTurn]
"""A prompt to complete, a source to translate or to summarize, or a conversation to answer."""


NO_ANSWER = "(no answer)"  # what a person reads for an empty one


class EncoderText(str):
    """A text for a model that generates nothing. A subclass for each head has its route and its request, and writes an answer in words."""

    __slots__ = ()
    route: ClassVar[str]

    @property
    def request(self) -> dict[str, str]:
        """The fields of the request beside the model. Raises AskError for a text from which there is none."""
        return {"input": str(self)}

    @staticmethod
    def in_words(datum: Mapping[str, Any]) -> str:
        """Return the answer to one text for a person. Raises KeyError and TypeError for another shape."""
        raise NotImplementedError


class ToClassify(EncoderText):
    """A text to label."""

    __slots__ = ()
    route = "/v1/classify"

    @staticmethod
    def in_words(datum: Mapping[str, Any]) -> str:
        """Return the label, or all labels that hold."""
        return str(datum["label"]) if "labels" not in datum else in_list(datum["labels"])


class ToTag(EncoderText):
    """A text in which to find named entities."""

    __slots__ = ()
    route = "/v1/token-classification"

    @staticmethod
    def in_words(datum: Mapping[str, Any]) -> str:
        """Return the entities with their types."""
        return in_words([(str(entity["word"]), str(entity["entity_group"])) for entity in datum["entities"]])


class ToFind(EncoderText):
    """A question in the first line, and in the lines after it the context in which to find the answer."""

    __slots__ = ()
    route = "/v1/question-answering"

    @property
    def request(self) -> dict[str, str]:
        """Split the question from its context."""
        question, _, context = self.partition("\n")
        if not context.strip():
            raise AskError("the model answers from a text: write the question in the first line, and the text in the lines after it")
        return {"question": question, "context": context}

    @staticmethod
    def in_words(datum: Mapping[str, Any]) -> str:
        """Return the answer's text."""
        return str(datum["answer"]) or NO_ANSWER


ENCODER_TEXTS: dict[HeadKind, type[EncoderText]] = {
    "sequence_classification": ToClassify,
    "token_classification": ToTag,
    "question_answering": ToFind,
}


class AskError(Exception):
    """The server could not be reached, or refused the request; the message has the cause."""


async def stream_answer(
    url: str, *, model: str, asked: Asked, max_tokens: int | None = None, temperature: float = 0.0, api_key: str | None = None
) -> AsyncIterator[str]:
    """Yield the answer's pieces as they arrive. `url` is the server's root, e.g. `http://127.0.0.1:8080`.

    The answer to an `EncoderText` comes in one piece. Without `max_tokens` the server decides.
    Without `api_key`, the key of the environment (`TUNEWRIGHT_API_KEY`) is sent. Raises AskError.
    """
    if isinstance(asked, EncoderText):
        yield await _encoded(url, model=model, text=asked, api_key=api_key)
        return
    path = "completions" if isinstance(asked, str) else "chat/completions"
    body: dict[str, Any] = {"model": model, "temperature": temperature, "stream": True}
    body |= {"prompt": asked} if isinstance(asked, str) else {"messages": list(asked)}
    body |= {"max_tokens": max_tokens} if max_tokens else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_read=120)) as session,
            session.post(f"{url}/v1/{path}", json=body, headers=_headers(api_key)) as response,
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


async def _encoded(url: str, *, model: str, text: EncoderText, api_key: str | None) -> str:
    request = {"model": model, **text.request}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session,
            session.post(f"{url}{text.route}", json=request, headers=_headers(api_key)) as response,
        ):
            body = await response.text()
            if response.status != 200:
                raise AskError(_reason(response.status, body))
            return text.in_words(json.loads(body)["data"][0])
    except aiohttp.ClientError as error:
        raise AskError(f"no answer from {url}: {error}") from error
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise AskError(f"{url} does not answer {text.route} as Tunewright's server does: {error}") from error


def _headers(api_key: str | None) -> dict[str, str]:
    key = api_key or os.environ.get(environment.API_KEY)
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
