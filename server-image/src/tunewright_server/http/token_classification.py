"""`/token-classification`: one text or several, and the named entities in each, as the pipeline of transformers writes them.

Source: transformers' TokenClassificationPipeline with aggregation_strategy="first". The outer form is that of `/classify`.
"""

import asyncio
from typing import Annotated, Any, ClassVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tunewright_server.classifiers import ReadWords, ServedTokenClassifier
from tunewright_server.engine.row_queue import RowAnswer
from tunewright_server.http.encoding import EncoderRequest, check_count, check_row, check_together, listed, read, run_rows
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST, invalid
from tunewright_server.http.formats import JsonObject
from tunewright_server.http.limits import check_length
from tunewright_server.http.parameters import String


class TokenClassificationRequest(EncoderRequest):
    """Texts, and no token ids: entities are places in a text."""

    unsupported: ClassVar[dict[str, tuple[Any, ...]]] = {
        **EncoderRequest.unsupported,
        "aggregation_strategy": ("first",),
        "ignore_labels": (["O"],),
        "stride": (0,),
    }

    input: String | Annotated[list[String], Field(fail_fast=True, min_length=1)]

    @property
    def texts(self) -> list[str]:
        """One text or several."""
        return [self.input] if isinstance(self.input, str) else self.input


async def token_classification(request: Request) -> Response:
    asked, model = await read(request, TokenClassificationRequest, ServedTokenClassifier)
    check_count(asked.texts, model, param="input")
    texts = await asyncio.to_thread(_read_texts, asked, model)
    rows = [text.row for text in texts]
    found = await run_rows(request, model, rows)
    if found is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    data = [_datum(index, text, answer, model) for index, (text, answer) in enumerate(zip(texts, found, strict=True))]
    return listed("token-classification", model, rows, data)


def _read_texts(asked: TokenClassificationRequest, model: ServedTokenClassifier) -> list[ReadWords]:
    """Tokenize. Raises `ApiError` 400 for a text that does not fit."""
    texts: list[ReadWords] = []
    for text in asked.texts:
        check_length(text, model, param="input")
        words = model.read(text)
        if not words.words:
            raise invalid(f"the text at {len(texts)} has no words", param="input")
        check_row(words.row, len(texts), model, param="input")
        texts.append(words)
    check_together([text.row for text in texts], model, param="input")
    return texts


def _datum(index: int, text: ReadWords, answer: RowAnswer, model: ServedTokenClassifier) -> JsonObject:
    return {
        "index": index,
        "entities": [
            {"entity_group": found.kind, "score": found.score, "word": found.text, "start": found.start, "end": found.end}
            for found in model.entities(text, answer.logits)
        ],
    }
