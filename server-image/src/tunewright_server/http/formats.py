"""The two formats of an OpenAI answer, whole and streamed. Pure: progress in, JSON-ready objects out."""

from dataclasses import dataclass, field
from typing import Any, Protocol

from tunewright_server.engine.request import Progress, TokenLogprob
from tunewright_server.text.tokenizer import TextTokenizer

JsonObject = dict[str, Any]


@dataclass
class Collected:
    """One complete choice."""

    text: str = ""
    tokens: int = 0
    finish_reason: str | None = None
    pieces: list[tuple[str, TokenLogprob]] = field(default_factory=list)  # only if the request has log-probabilities

    def add(self, progress: Progress) -> None:
        if progress.logprob is not None:
            self.pieces.append((progress.text, progress.logprob))
        self.text += progress.text
        self.tokens = progress.tokens
        self.finish_reason = progress.finish.value if progress.finish else None


class Format(Protocol):
    """How choices are written in one of the two endpoints."""

    prefix: str  # of the answer's id
    object: str
    chunk_object: str

    def opening(self, index: int) -> JsonObject | None:
        """First chunk of a choice, before any token; None: there is none."""

    def piece(self, index: int, progress: Progress, *, offset: int) -> JsonObject | None:
        """A chunk for one token, `offset` characters into the answer; None if there is no text yet."""

    def choice(self, index: int, collected: Collected) -> JsonObject:
        """A complete choice."""


class ChatFormat:
    """`chat.completion` and `chat.completion.chunk`."""

    prefix = "chatcmpl-"
    object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def opening(self, index: int) -> JsonObject | None:
        return {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}

    def piece(self, index: int, progress: Progress, *, offset: int) -> JsonObject | None:  # noqa: ARG002 - the other format needs it
        if not progress.text and not progress.finish and progress.logprob is None:
            return None
        delta = {"content": progress.text} if progress.text else {}
        logprobs = self._logprobs([progress.logprob]) if progress.logprob else None
        finish = progress.finish.value if progress.finish else None
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}

    def choice(self, index: int, collected: Collected) -> JsonObject:
        message = {"role": "assistant", "content": collected.text, "refusal": None}
        logprobs = self._logprobs([logprob for _, logprob in collected.pieces]) if collected.pieces else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": collected.finish_reason}

    def _logprobs(self, logprobs: list[TokenLogprob]) -> JsonObject:
        content = [
            {**self._entry(each.token, each.logprob), "top_logprobs": [self._entry(token, value) for token, value in each.top]}
            for each in logprobs
        ]
        return {"content": content, "refusal": None}

    def _entry(self, token: int, logprob: float) -> JsonObject:
        text = self._tokenizer.name(token)
        return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


class CompletionFormat:
    """`text_completion`, whole and streamed alike."""

    prefix = "cmpl-"
    object = "text_completion"
    chunk_object = "text_completion"

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer

    def opening(self, index: int) -> JsonObject | None:  # noqa: ARG002 - the other format has one
        return None

    def piece(self, index: int, progress: Progress, *, offset: int) -> JsonObject | None:
        if not progress.text and not progress.finish and progress.logprob is None:
            return None
        logprobs = self._logprobs([(progress.text, progress.logprob)], offset) if progress.logprob else None
        finish = progress.finish.value if progress.finish else None
        return {"index": index, "text": progress.text, "logprobs": logprobs, "finish_reason": finish}

    def choice(self, index: int, collected: Collected) -> JsonObject:
        logprobs = self._logprobs(collected.pieces) if collected.pieces else None
        return {"index": index, "text": collected.text, "logprobs": logprobs, "finish_reason": collected.finish_reason}

    def _logprobs(self, pieces: list[tuple[str, TokenLogprob]], offset: int = 0) -> JsonObject:
        offsets = []
        for text, _ in pieces:
            offsets.append(offset)
            offset += len(text)
        return {
            "tokens": [self._tokenizer.name(each.token) for _, each in pieces],
            "token_logprobs": [each.logprob for _, each in pieces],
            "top_logprobs": [{self._tokenizer.name(token): value for token, value in each.top} for _, each in pieces],
            "text_offset": offsets,
        }


def usage(*, prompt_tokens: int, completion_tokens: int) -> JsonObject:
    """Token counts; an ending token is counted, as torch's `generate` and vLLM do."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
