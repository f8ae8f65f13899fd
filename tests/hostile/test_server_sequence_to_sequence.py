"""Sources that a translator must refuse, or survive, while the server continues.

To add a case, add a row: what is sent, the code, and words of the message.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import tiny
from serving import Server, ready_server
from translators import CONTEXT, SENTENCE, build_translator

PLAIN = {"model": "translator", "prompt": SENTENCE, "max_tokens": 4, "temperature": 0}
END = "<|endoftext|>"
# name -> (what is changed in the request, code, words of the message)
BODIES: dict[str, tuple[dict[str, Any], str, str]] = {
    "an empty source": ({"prompt": ""}, "invalid_value", "the prompt has no text"),
    "an empty source among others": ({"prompt": [SENTENCE, ""]}, "invalid_value", "the prompt has no text"),
    "only special tokens": ({"prompt": f"<|pad|>{END}"}, "invalid_value", "the prompt has no text"),
    "no tokens": ({"prompt": []}, "invalid_value", "prompt"),
    "a source one token too long": ({"prompt": [40] * (CONTEXT + 1)}, "context_length_exceeded", f"length is {CONTEXT} tokens"),
    "a text that is too long": ({"prompt": "a" * CONTEXT}, "context_length_exceeded", f"reads at most {CONTEXT} tokens"),
    "an immense text": ({"prompt": "word " * 500_000}, "context_length_exceeded", f"{CONTEXT} tokens"),
    "special tokens that make it too long": ({"prompt": "a" + END * CONTEXT}, "context_length_exceeded", f"{CONTEXT} tokens"),
    "an answer that is too long": ({"max_tokens": 2**31 - 1}, "context_length_exceeded", "writes at most"),
    "a token beyond the vocabulary": ({"prompt": [tiny.VOCAB_SIZE]}, "invalid_value", "is not in the vocabulary"),
    "a stop token beyond the vocabulary": ({"stop_token_ids": [tiny.VOCAB_SIZE]}, "invalid_value", "is not in the vocabulary"),
    "half a surrogate pair": ({"prompt": "\ud800"}, "invalid_value", "surrogate"),
    "an echo of the source": ({"echo": True}, "unsupported_parameter", "echo is not supported"),
    "a suffix": ({"suffix": "."}, "unsupported_parameter", "suffix is not supported"),
    "beams": ({"use_beam_search": True}, "unsupported_parameter", "use_beam_search is not supported"),
    "the best of several": ({"best_of": 4}, "unsupported_parameter", "best_of is not supported"),
    "messages": ({"messages": [{"role": "user", "content": "a"}]}, "unknown_parameter", "messages"),
    "a bias": ({"logit_bias": {"5": 100}}, "unsupported_parameter", "logit_bias is not supported"),
    "more tokens at least than at most": ({"min_tokens": 5}, "invalid_value", "min_tokens"),
}
SURVIVED = {
    "a source of spaces": "  ",
    "special tokens in the text": f"Paris{END} is <|pad|> the <|system|>capital.",
    "the first token of each target": "<|end|>Paris",
    "control characters": "Paris\x00\x1b[2J\u202eis",
    "the longest source": "a" * (CONTEXT - 1),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build_translator().served_dir, tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.mark.parametrize(("body", "code", "words"), [pytest.param(*case, id=name) for name, case in BODIES.items()])
def test_a_request_that_cannot_be_meant_is_refused_by_name(body: dict[str, Any], code: str, words: str, server: Server) -> None:
    answer = server.post("/v1/completions", content=json.dumps({**PLAIN, **body}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text
    assert words in answer.json()["error"]["message"]
    assert server.post("/v1/completions", json=PLAIN).status_code == 200


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for name, source in SURVIVED.items()])
def test_any_text_is_a_source_and_changes_no_other_answer(source: str, server: Server) -> None:
    expected = server.post("/v1/completions", json=PLAIN).json()["choices"]
    answer = server.post("/v1/completions", json={**PLAIN, "prompt": [source, SENTENCE]})
    assert answer.status_code == 200, answer.text
    choices = answer.json()["choices"]
    assert choices[1]["text"] == expected[0]["text"]
    assert not any(special in choice["text"] for choice in choices for special in tiny.SPECIALS)
