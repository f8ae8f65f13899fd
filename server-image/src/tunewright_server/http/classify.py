"""`/classify` of vLLM: one text or several, their labels and the probability of each label.

Source: vLLM's vllm/entrypoints/pooling/classify/protocol.py. Its request with `messages` is refused by name. Where several labels can hold,
`label` is the likeliest one, as with vLLM, and `labels`, which vLLM lacks, has all that hold.
"""

import asyncio
from typing import Annotated

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from tunewright_server.classifiers import ServedClassifier
from tunewright_server.engine.row_queue import RowAnswer, TokenRow
from tunewright_server.http.encoding import EncoderRequest, check_count, check_row, check_together, listed, read, run_rows
from tunewright_server.http.errors import CLIENT_CLOSED_REQUEST
from tunewright_server.http.formats import JsonObject
from tunewright_server.http.limits import check_length
from tunewright_server.http.parameters import String, TokenId, prompts_of


class ClassifyRequest(EncoderRequest):
    """The fields of vLLM's request that have an effect here."""

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
    asked, model = await read(request, ClassifyRequest, ServedClassifier)
    check_count(asked.texts, model, param="input")
    rows = await asyncio.to_thread(_rows, asked, model)
    found = await run_rows(request, model, rows)
    if found is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return listed("classify", model, rows, [_datum(index, answer, asked, model) for index, answer in enumerate(found)])


def _rows(asked: ClassifyRequest, model: ServedClassifier) -> list[TokenRow]:
    """Tokenize. Raises `ApiError` 400 for a text that does not fit."""
    special = asked.add_special_tokens is not False
    rows: list[TokenRow] = []
    for text in asked.texts:
        check_length(text, model, param="input")
        tokens = model.tokenizer.encode(text, add_special_tokens=special) if isinstance(text, str) else tuple(text)
        rows.append(check_row(TokenRow(tokens), len(rows), model, param="input"))
    check_together(rows, model, param="input")
    return rows


def _datum(index: int, answer: RowAnswer, asked: ClassifyRequest, model: ServedClassifier) -> JsonObject:
    logits = answer.logits
    several: JsonObject = {"labels": model.labels(logits)} if model.head.several_labels else {}
    return {
        "index": index,
        "label": model.label(logits),
        **several,
        "probs": [float(each) for each in logits] if asked.use_activation is False else model.probabilities(logits),
        "num_classes": len(logits),
    }
