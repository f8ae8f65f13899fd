"""The model server's requests: what no server should compute is refused with its parameter's name, and never with 500.

To add a case, add a row: the parameter that is at fault ("the body" for the body itself, None for any), and the body.
"""

import json
from collections.abc import Iterator

import pytest
from models import TinyModel, build
from serving import Server, ready_server

CHAT = '{"model": "tiny", "messages": [{"role": "user", "content": %s}], "max_tokens": 2}'
PLAIN = '{"model": "tiny", "prompt": "Hello", "max_tokens": 2, %s}'
PROMPT = '{"model": "tiny", "max_tokens": 1, "prompt": %s}'
DIGITS = "9" * 6000

REFUSED = {
    "many prompts, many choices": ("n", PROMPT[:-1] % json.dumps([[5]] * 10_000) + ', "n": 128}'),
    "many prompts": ("prompt", PROMPT % json.dumps([[5]] * 10_000)),
    "a long prompt": ("prompt", PROMPT % json.dumps("a" * 8_000_000)),
    "a long message": ("messages", CHAT % json.dumps("a" * 8_000_000)),
    "many wrong items": ("prompt", PROMPT % json.dumps([None] * 100_000)),
    "many wrong messages": ("messages", json.dumps({"model": "tiny", "messages": [1] * 100_000})),
    "many stop tokens": ("stop_token_ids", PLAIN % '"stop_token_ids": %s' % json.dumps([1] * 100_000)),
    "more values than a prompt holds": (None, PROMPT % json.dumps([[]] * 2_000_000)),
    "deep lists": ("prompt", PROMPT % ("[" * 200_000 + "]" * 200_000)),
    "deep objects": ("user", PLAIN % '"user": %s' % ('{"a":' * 100_000 + "1" + "}" * 100_000)),
    "deep messages": ("messages", CHAT % ("[" * 200_000 + "]" * 200_000)),
    "a deep part of an unknown name": ("ä", PLAIN % '"seed": 1, "\\u00e4": [[1, "a", {"b": %s}]]' % ("[" * 100_000)),
    "a deep body": ("the body", "[" * 100_000),
    "a deep body of strings": ("the body", '["a", ' + "[" * 100_000),
    "nested messages": ("messages", CHAT % ("[" * 500 + "]" * 500)),
    "a surrogate in a prompt": ("prompt", PROMPT % '"\\ud800"'),
    "a surrogate in a message": ("messages", CHAT % '"\\udfff"'),
    "a surrogate in a name": (None, PLAIN % '"\\ud800": 1'),
    "a surrogate in the model": ("model", '{"model": "\\ud800", "prompt": "a"}'),
    "a surrogate as a stop string": ("stop", PLAIN % '"stop": "\\ud800"'),
    "a number of 6,000 digits": ("top_k", PLAIN % f'"top_k": {DIGITS}'),
    "a seed of 6,000 digits": ("seed", PLAIN % f'"seed": -{DIGITS}'),
    "a temperature of 6,000 digits": ("temperature", PLAIN % f'"temperature": {DIGITS}'),
    "a token of 6,000 digits": ("prompt", PROMPT % f"[{DIGITS}]"),
    "NaN": ("temperature", PLAIN % '"temperature": NaN'),
    "infinity": ("top_p", PLAIN % '"top_p": Infinity'),
    "a number too large": ("temperature", PLAIN % '"temperature": 1e999'),
    "a key given twice": ("prompt", PLAIN % '"prompt": "again"'),
    "an unknown name of 100,000 characters": (None, PLAIN % f'"{"x" * 100_000}": 1'),
    "not UTF-8": (None, b"\xff\xfe{"),
    "more tokens than there can be": ("min_tokens", PLAIN % '"min_tokens": 3'),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build(TinyModel()).served_dir, tmp_path_factory.mktemp("server"), MAX_SLOTS="3") as running:
        yield running


@pytest.mark.parametrize(("param", "body"), [pytest.param(*case, id=name) for name, case in REFUSED.items()])
def test_a_request_beyond_the_bounds_is_refused_by_name(server: Server, param: str | None, body: str | bytes) -> None:
    path = "/v1/chat/completions" if "messages" in str(body)[:60] else "/v1/completions"
    response = server.post(path, content=body if isinstance(body, bytes) else body.encode())
    assert response.status_code == 400, response.text[:500]
    error = response.json()["error"]
    assert len(error["message"]) < 1100
    if param == "the body":
        assert (error["param"], error["message"][:8]) == (None, param)
    elif param is not None:
        assert error["param"].partition(".")[0] == param
    assert server.post("/v1/completions", json={"model": "tiny", "prompt": "Hello", "max_tokens": 1}).status_code == 200
