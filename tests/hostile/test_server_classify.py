"""Bodies of `/classify` that must be refused, by the field and with the way out, while the server continues.

To add a case, add a row: what is sent, the HTTP status, the code, and words of the message.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from encoders import CONTEXT, VOCABULARY, build_encoder
from serving import Server, ready_server

from tunewright_server.engine.encoder_loop import QUEUE_ROWS

TEXT = {"input": "hello"}
# name -> (body, code, words of the message)
BODIES: dict[str, tuple[Any, str, str]] = {
    "nothing": ({}, "missing_required_parameter", "input is required"),
    "no JSON": (b"{", "invalid_json", "not valid JSON"),
    "no object": ([], "invalid_json", "must be a JSON object"),
    "an unknown field": ({**TEXT, "temperature": 1}, "unknown_parameter", "temperature"),
    "a text that is a number": ({"input": 7}, "invalid_value", "input"),
    "a text that is null": ({"input": None}, "invalid_value", "input"),
    "no texts": ({"input": []}, "invalid_value", "input"),
    "an empty text": ({"input": ""}, "invalid_value", "the text at 0 has no tokens"),
    "an empty text among others": ({"input": ["hello", ""]}, "invalid_value", "the text at 1 has no tokens"),
    "an empty row": ({"input": [[5], []]}, "invalid_value", "the text at 1 has no tokens"),
    "texts and rows": ({"input": ["hello", [5]]}, "invalid_value", "input"),
    "texts and tokens": ({"input": ["hello", 5]}, "invalid_value", "input"),
    "rows in rows": ({"input": [[[5]]]}, "invalid_value", "input"),
    "a negative token": ({"input": [-1]}, "invalid_value", "input"),
    "a token that is a fraction": ({"input": [5.5]}, "invalid_value", "input"),
    "a token that is true": ({"input": [True]}, "invalid_value", "input"),
    "a token beyond the vocabulary": ({"input": [VOCABULARY]}, "invalid_value", f"token id {VOCABULARY} is not in the vocabulary"),
    "an immense token": ({"input": [10**30]}, "invalid_value", "input"),
    "half a surrogate pair": (b'{"input": "\\ud800"}', "invalid_value", "surrogate"),
    "a row one token too long": ({"input": [[5] * (CONTEXT + 1)]}, "context_length_exceeded", f"{CONTEXT} tokens"),
    "a text that is too long": ({"input": "hello " * CONTEXT}, "context_length_exceeded", f"{CONTEXT} tokens"),
    "an immense text": ({"input": "hello " * 500_000}, "context_length_exceeded", "characters"),
    "more texts than may wait": ({"input": ["a"] * (QUEUE_ROWS + 1)}, "invalid_value", "more than the queue holds"),
    "messages": ({"messages": [{"role": "user", "content": "a"}]}, "unsupported_parameter", "messages is not supported"),
    "a cut": ({**TEXT, "truncate_prompt_tokens": 5}, "unsupported_parameter", "truncate_prompt_tokens is not supported"),
    "a priority": ({**TEXT, "priority": 1}, "unsupported_parameter", "priority is not supported"),
    "a word for yes": ({**TEXT, "use_activation": "yes"}, "invalid_value", "use_activation"),
    "a model that is a number": ({**TEXT, "model": 5}, "invalid_value", "model"),
}
HARMLESS = {"user": "me", "request_id": "1", "cache_salt": "x", "priority": 0, "padding": "do_not_pad", "truncate_prompt_tokens": None}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build_encoder().served_dir, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize(("body", "code", "words"), [pytest.param(*case, id=name) for name, case in BODIES.items()])
def test_a_body_that_cannot_be_meant_is_refused_by_name(body: Any, code: str, words: str, server: Server) -> None:
    answer = server.post("/classify", content=body) if isinstance(body, bytes) else server.post("/classify", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    assert words in answer.json()["error"]["message"]
    assert server.post("/classify", json=TEXT).status_code == 200


def test_a_model_that_is_not_there_is_not_found(server: Server) -> None:
    answer = server.post("/classify", json={**TEXT, "model": "../../etc/passwd"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_what_means_nothing_here_is_taken(server: Server) -> None:
    assert server.post("/classify", json={**TEXT, **HARMLESS}).status_code == 200


def test_special_tokens_written_in_a_text_do_not_grow_it(server: Server) -> None:
    """They are read as transformers reads them; a text full of them is bounded like any other."""
    assert server.post("/classify", json={"input": "<|endoftext|>" * CONTEXT}).status_code == 200
    assert server.post("/classify", json={"input": "<|endoftext|>" * (CONTEXT + 1)}).status_code == 400
