"""Requests that cannot be served: an error in OpenAI's shape that names the parameter, and nothing is ignored."""

import json

import openai
import pytest
from serving import Server

CHAT = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4}
PLAIN = {"model": "tiny", "prompt": "Hello", "max_tokens": 4}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
TOOL = {"type": "function", "function": {"name": "f"}}


def without(body: dict, name: str) -> dict:
    return {key: value for key, value in body.items() if key != name}


@pytest.mark.parametrize(
    ("status", "code", "param", "path", "body"),
    [
        (404, "model_not_found", "model", "chat/completions", {**CHAT, "model": "gpt-4"}),
        (404, "model_not_found", "model", "completions", {**PLAIN, "model": "gpt-4"}),
        (400, "missing_required_parameter", "model", "completions", without(PLAIN, "model")),
        (400, "missing_required_parameter", "messages", "chat/completions", without(CHAT, "messages")),
        (400, "missing_required_parameter", "prompt", "completions", without(PLAIN, "prompt")),
        (400, "unsupported_parameter", "tools", "chat/completions", {**CHAT, "tools": [TOOL]}),
        (400, "unsupported_parameter", "response_format", "chat/completions", {**CHAT, "response_format": SCHEMA}),
        (400, "unsupported_parameter", "logit_bias", "chat/completions", {**CHAT, "logit_bias": {"7": 100}}),
        (400, "unsupported_parameter", "presence_penalty", "chat/completions", {**CHAT, "presence_penalty": 0.5}),
        (400, "unsupported_parameter", "frequency_penalty", "completions", {**PLAIN, "frequency_penalty": -1}),
        (400, "unsupported_parameter", "best_of", "completions", {**PLAIN, "best_of": 3}),
        (400, "unsupported_parameter", "echo", "completions", {**PLAIN, "echo": True}),
        (400, "unsupported_parameter", "suffix", "completions", {**PLAIN, "suffix": "end"}),
        (400, "unknown_parameter", "temprature", "completions", {**PLAIN, "temprature": 1}),
        (400, "invalid_value", "temperature", "completions", {**PLAIN, "temperature": 2.1}),
        (400, "invalid_value", "temperature", "completions", {**PLAIN, "temperature": "hot"}),
        (400, "invalid_value", "top_p", "completions", {**PLAIN, "top_p": -0.1}),
        (400, "invalid_value", "max_tokens", "completions", {**PLAIN, "max_tokens": 0}),
        (400, "invalid_value", "max_tokens", "completions", {**PLAIN, "max_tokens": 1.5}),
        (400, "invalid_value", "n", "completions", {**PLAIN, "n": 0}),
        (400, "invalid_value", "n", "completions", {**PLAIN, "n": 100}),  # more than the queue of three slots holds
        (400, "invalid_value", "seed", "completions", {**PLAIN, "seed": 2**63}),
        (400, "invalid_value", "stop", "completions", {**PLAIN, "stop": ""}),
        (400, "invalid_value", "prompt", "completions", {**PLAIN, "prompt": ""}),
        (400, "invalid_value", "prompt", "completions", {**PLAIN, "prompt": []}),
        (400, "invalid_value", "prompt", "completions", {**PLAIN, "prompt": [5, 700]}),
        (400, "invalid_value", "stop_token_ids", "completions", {**PLAIN, "stop_token_ids": [700]}),
        (400, "invalid_value", "stream_options", "completions", {**PLAIN, "stream_options": {"include_usage": True}}),
        (400, "invalid_value", "messages", "chat/completions", {**CHAT, "messages": []}),
        (400, "invalid_value", "messages.0.role", "chat/completions", {**CHAT, "messages": [{"role": "tool", "content": "x"}]}),
        (400, "missing_required_parameter", "messages.0.content", "chat/completions", {**CHAT, "messages": [{"role": "user"}]}),
        (400, "invalid_value", "top_logprobs", "chat/completions", {**CHAT, "top_logprobs": 2}),
        (400, "invalid_value", "max_completion_tokens", "chat/completions", {**CHAT, "max_completion_tokens": 5}),
        (400, "context_length_exceeded", "messages", "chat/completions", {**CHAT, "max_tokens": 5000}),
        (400, "context_length_exceeded", "prompt", "completions", {**PLAIN, "prompt": "Hello " * 5000}),
        (400, "invalid_json", None, "completions", "{half"),
        (400, "invalid_json", None, "completions", "[]"),
        (400, "invalid_json", None, "completions", b"\xff\xfe"),
        (413, "request_too_large", None, "completions", {**PLAIN, "prompt": "a" * (17 * 2**20)}),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_a_refusal_names_the_wrong_parameter(  # noqa: PLR0917 - a table
    status: int, code: str, param: str | None, path: str, body: object, server: Server
) -> None:
    content = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response = server.post(f"/v1/{path}", content=content)
    error = response.json()["error"]
    assert (status, code) == (response.status_code, error["code"])
    assert (error["param"] or "").partition(".")[0] == (param or "").partition(".")[0]
    assert (error["param"] or "").startswith(param or "")
    assert error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "method", "path"), [(404, "GET", "/v1/embeddings"), (405, "GET", "/v1/completions"), (404, "GET", "/v1/models/gpt-4")]
)
def test_a_missing_route_answers_with_the_same_error_format(status: int, method: str, path: str, server: Server) -> None:
    response = server.get(path)
    assert response.status_code == status
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


def test_openais_client_raises_its_own_errors(server: Server) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        server.openai.completions.create(model="gpt-4", prompt="Hello")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_refused_request_leaves_no_state(server: Server) -> None:
    before = server.metric("vllm:request_success_total")
    server.post("/v1/completions", json={**PLAIN, "tools": [TOOL]})
    assert server.metric("vllm:request_success_total") == before
    assert server.metric("vllm:num_requests_running") == server.metric("vllm:num_requests_waiting") == 0
