"""`/question-answering`: a question and its context, or several such pairs, and where the answers stand in the contexts.

An answer has the fields of Hugging Face's question-answering pipeline: `answer`, `score`, `start`, `end` in characters of the context.
Long contexts are read in windows, which share the turns of their request.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tunewright_contract.questions import CANDIDATES, LONGEST_ANSWER, AnswerSpan, UnreadableContextError, Window
from tunewright_server.engine.row_queue import RowAnswer
from tunewright_server.http.encoding import EncoderRequest, check_count, check_together, listed, read, run_rows
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST, invalid
from tunewright_server.http.formats import JsonObject
from tunewright_server.http.limits import check_length
from tunewright_server.http.parameters import Closed, Count, Text
from tunewright_server.readers import ServedReader, row_of


class QuestionWithContext(Closed):
    question: Text
    context: Text


class QuestionRequest(EncoderRequest):
    """One question with its context, or `input` with several. The other parameters have the names of the pipeline."""

    question: Text | None = None
    context: Text | None = None
    input: Annotated[list[QuestionWithContext], Field(fail_fast=True, min_length=1)] | None = None
    top_k: Annotated[int, Field(ge=1, le=CANDIDATES)] | None = None  # answers to each question; None: 1
    max_answer_len: Count | None = None  # tokens; None: 30
    handle_impossible_answer: bool | None = None  # whether "no answer", an empty text, is possible; None: as in training

    def check_together(self) -> None:
        if self.input is not None and (self.question is not None or self.context is not None):
            raise invalid("send question and context, or input with several of them, but not both", param="input")
        for name, value, other in (("question", self.question, self.context), ("context", self.context, self.question)):
            if self.input is None and value is None:
                what = f"{name} is required" if other is not None else "question and context are required, or input with several of them"
                raise invalid(what, param=name, code="missing_required_parameter")

    @property
    def pairs(self) -> list[QuestionWithContext]:
        """The questions with their contexts, in order."""
        if self.input is not None:
            return self.input
        return [QuestionWithContext(question=self.question or "", context=self.context or "")]


@dataclass(frozen=True)
class _Reading:
    """A context and its windows."""

    context: str
    windows: list[Window]


async def find(request: Request) -> Response:
    asked, model = await read(request, QuestionRequest, ServedReader)
    check_count(asked.pairs, model, param="input")
    readings = await asyncio.to_thread(_readings, asked, model)
    rows = [row_of(window) for reading in readings for window in reading.windows]
    check_together(rows, model, param="context")
    found = await run_rows(request, model, rows)
    if found is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    data = await asyncio.to_thread(_data, asked, model, readings, found)
    return listed("question", model, rows, data)


def _readings(asked: QuestionRequest, model: ServedReader) -> list[_Reading]:
    """Tokenize. Raises `ApiError` 400 for a pair that cannot be read, and for more windows than the queue holds."""
    readings: list[_Reading] = []
    windows = 0
    for number, pair in enumerate(asked.pairs):
        where = f"input.{number}." if asked.input is not None else ""
        check_length(pair.question, model, param=f"{where}question")
        check_length(pair.context, model, param=f"{where}context", tokens=model.engine.queue_tokens)
        try:
            reading = _Reading(pair.context, model.windows(pair.question, pair.context))
        except UnreadableContextError as error:
            raise invalid(f"{where}context: {error}", param=f"{where}context", code="context_length_exceeded") from error
        windows += len(reading.windows)
        if windows > model.most_windows:
            raise invalid(
                f"this request has more than the {model.most_windows} windows of {model.engine.max_length} tokens that the queue holds; "
                "send fewer or shorter contexts at once",
                param=f"{where}context",
                code="context_length_exceeded",
            )
        readings.append(reading)
    return readings


def _data(asked: QuestionRequest, model: ServedReader, readings: Sequence[_Reading], found: Sequence[RowAnswer]) -> list[JsonObject]:
    data, at = [], 0
    for index, reading in enumerate(readings):
        logits = [answer.logits for answer in found[at : at + len(reading.windows)]]
        at += len(reading.windows)
        best, *others = model.answers(
            reading.context,
            reading.windows,
            logits,
            no_answer=asked.handle_impossible_answer,
            longest=asked.max_answer_len or LONGEST_ANSWER,
        )[: asked.top_k or 1]
        data.append({"index": index, **_described(best), "alternatives": [_described(other) for other in others]})
    return data


def _described(answer: AnswerSpan) -> JsonObject:
    return {"answer": answer.text, "score": answer.score, "start": answer.start, "end": answer.end}
