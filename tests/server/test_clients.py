"""What common clients send by default is served as it is.

The bodies are transcribed from each client's source or from what it sent to a server; the loop of the `openai` client runs here. To add a
client, add a row with its version.
"""

import json
from typing import Any

import pytest
from serving import Server

TEXT = [{"type": "text", "text": "Hello"}]
USAGE = {"include_usage": True, "continuous_usage_stats": True}
BODIES: dict[str, dict[str, Any]] = {
    # guidellm 0.8.1, recorded on its way to the server (`guidellm run` on synthetic text)
    "guidellm, text": {"prompt": "1 0 m0 Finish med", "stream": True, "stream_options": USAGE, "max_tokens": 8, "ignore_eos": True},
    "guidellm, chat": {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "1 0 m0 Finish med"}]}],
        "stream": True,
        "stream_options": USAGE,
        "max_completion_tokens": 8,
        "ignore_eos": True,
    },
    # openai 3.52.0
    "openai, developer": {"messages": [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hello"}]},
    "openai, obfuscation": {
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    },
    "openai, an answer with all of its fields": {
        "messages": [
            {"role": "user", "content": "Hello"},
            {
                "role": "assistant",
                "content": "Hi",
                "refusal": None,
                "annotations": [],
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            },
            {"role": "user", "content": "Again", "name": None},
        ]
    },
    # litellm 1.110.2, langchain-openai 1.7.4, llama-index-llms-openai 0.8.3, instructor 1.17.0: as received from them, without tools
    "litellm, a stream": {"messages": [{"role": "user", "content": "Hello"}], "stream": True},
    "langchain-openai, several turns": {
        "stream": False,
        "messages": [
            {"content": "Be kind.", "role": "system"},
            {"content": "Hello", "role": "user"},
            {"content": "Hi", "role": "assistant"},
            {"content": "Again", "role": "user"},
        ],
        "max_completion_tokens": 3,
    },
    "langchain-openai, text": {
        "prompt": ["Hello"],
        "frequency_penalty": 0,
        "logprobs": None,
        "n": 1,
        "presence_penalty": 0,
        "seed": None,
        "temperature": 0.7,
        "top_p": 1,
    },
    "llama-index": {"messages": [{"role": "user", "content": "Hello"}], "stream": False, "temperature": 0.1},
    "instructor, Mode.MD_JSON": {
        "messages": [
            {"role": "system", "content": "Return an instance of the JSON, not the schema itself\n"},
            {"role": "user", "content": "Hello\n\nReturn the correct JSON response within a ```json codeblock."},
        ]
    },
    "nulls": {"messages": [{"role": "user", "content": "Hello"}], "n": None, "stream": None, "stream_options": None, "user": None},
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in BODIES.items()])
def test_a_clients_usual_body_is_accepted(server: Server, body: dict[str, Any]) -> None:
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    response = server.post(
        path, json={"model": "tiny", "max_tokens": 3, **body} if "max_completion_tokens" not in body else {"model": "tiny", **body}
    )
    assert response.status_code == 200, response.text


def test_openais_simplest_loop_works(server: Server) -> None:
    messages: list[Any] = []
    for question in ("Hello", "Again", "And again"):
        messages.append({"role": "user", "content": question})
        response = server.openai.chat.completions.create(model="tiny", messages=messages, max_tokens=3)
        messages.append(response.choices[0].message)
    assert len(messages) == 6


def test_continuous_usage_counts_up(server: Server) -> None:
    body = {"model": "tiny", "prompt": "Hello", "max_tokens": 4, "ignore_eos": True, "stream": True, "stream_options": USAGE}
    lines = server.post("/v1/completions", json=body).text.split("\n\n")
    usages = [json.loads(line[6:])["usage"]["completion_tokens"] for line in lines if line.startswith("data: {")]
    assert usages == sorted(usages)
    assert usages[0] >= 1
    assert usages[-1] == 4


def test_min_tokens_has_priority_over_a_stop_token(server: Server) -> None:
    """Of the two halves of the vocabulary one ends the answer with its first token."""
    body = {"model": "tiny", "prompt": "Hello", "temperature": 0, "max_tokens": 8, "ignore_eos": True}

    def tokens(**more: Any) -> int:
        return int(server.post("/v1/completions", json={**body, **more}).json()["usage"]["completion_tokens"])

    halves = [list(range(350)), list(range(350, 700))]
    stops = next(half for half in halves if tokens(stop_token_ids=half) == 1)
    assert tokens(stop_token_ids=stops, min_tokens=5) >= 5
