"""Bodies of `/question-answering` that must be refused, by the field and with the way out, while the server continues.

To add a case, add a row: what is sent, the code, and words of the message.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from readers import build_reader
from serving import Server, ready_server

from tunewright_server.engine.encoder_loop import QUEUE_ROWS

PAIR = {"question": "Where is the oak?", "context": "The oak is in the box."}
LONG = {"question": "Where is the oak?", "context": "oak " * 100}
# name -> (body, code, words of the message)
BODIES: dict[str, tuple[Any, str, str]] = {
    "nothing": ({}, "missing_required_parameter", "question and context are required, or input with several of them"),
    "no context": ({"question": "Where?"}, "missing_required_parameter", "context is required"),
    "no question": ({"context": "The oak."}, "missing_required_parameter", "question is required"),
    "a pair twice": ({**PAIR, "input": [PAIR]}, "invalid_value", "but not both"),
    "no pairs": ({"input": []}, "invalid_value", "input"),
    "a pair that is a text": ({"input": ["Where is the oak?"]}, "invalid_value", "input.0"),
    "a pair without context": ({"input": [{"question": "Where?"}]}, "missing_required_parameter", "input.0.context is required"),
    "a pair with more": ({"input": [{**PAIR, "answer": "oak"}]}, "unknown_parameter", "input.0.answer"),
    "an empty question": ({**PAIR, "question": ""}, "invalid_value", "question"),
    "a blank question": ({**PAIR, "question": " \n"}, "context_length_exceeded", "the question has no tokens"),
    "an empty context": ({**PAIR, "context": ""}, "invalid_value", "context"),
    "a context without tokens": ({**PAIR, "context": "\u200b"}, "context_length_exceeded", "the context has no tokens"),
    "a context that is a list": ({**PAIR, "context": ["The oak."]}, "invalid_value", "context"),
    "half a surrogate pair": (b'{"question": "\\ud800", "context": "oak"}', "invalid_value", "surrogate"),
    "no answers": ({**PAIR, "top_k": 0}, "invalid_value", "top_k"),
    "more answers than candidates": ({**PAIR, "top_k": 21}, "invalid_value", "top_k"),
    "answers without a token": ({**PAIR, "max_answer_len": 0}, "invalid_value", "max_answer_len"),
    "a word for yes": ({**PAIR, "handle_impossible_answer": "yes"}, "invalid_value", "handle_impossible_answer"),
    "a question that leaves no room": ({**LONG, "question": "oak " * 25}, "context_length_exceeded", "have room for a question of 20"),
    "a question that is too long": ({**PAIR, "question": "oak " * 500}, "context_length_exceeded", "the question has more than that"),
    "an immense question": ({**PAIR, "question": "oak " * 500_000}, "context_length_exceeded", "characters"),
    "windows that go on by a token each": (
        {"question": "oak " * 20, "context": "oak " * 1200},
        "context_length_exceeded",
        "needs 1192 windows",
    ),
    "a context of too many windows": ({**PAIR, "context": "oak " * 30_000}, "context_length_exceeded", "windows of 32 tokens"),
    "an immense context": ({**PAIR, "context": "oak " * 500_000}, "context_length_exceeded", "maximum context length"),
    "contexts of too many windows together": ({"input": [LONG] * 200}, "context_length_exceeded", "send fewer or shorter contexts at once"),
    "more pairs than may wait": ({"input": [PAIR] * (QUEUE_ROWS + 1)}, "invalid_value", "more than the queue holds"),
    "a field of another route": ({**PAIR, "temperature": 1}, "unknown_parameter", "temperature"),
    "a cut": ({**PAIR, "truncate_prompt_tokens": 5}, "unsupported_parameter", "truncate_prompt_tokens is not supported"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build_reader().served_dir, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize(("body", "code", "words"), [pytest.param(*case, id=name) for name, case in BODIES.items()])
def test_a_body_that_cannot_be_meant_is_refused_by_name(body: Any, code: str, words: str, server: Server) -> None:
    kind = {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = server.post("/question-answering", **kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    assert words in answer.json()["error"]["message"]
    assert server.post("/question-answering", json=PAIR).status_code == 200


def test_a_text_of_another_route_is_not_answered(server: Server) -> None:
    answer = server.post("/classify", json={"input": "The oak."})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_supported")
    assert "use POST /question-answering or /v1/question-answering" in answer.json()["error"]["message"]


def test_special_tokens_in_a_context_are_read_as_transformers_reads_them(server: Server) -> None:
    answer = server.post("/question-answering", json={**PAIR, "context": "[SEP] The oak [CLS] is in the box [SEP]." * 5})
    assert answer.status_code == 200
    assert answer.json()["data"][0]["end"] <= 200
