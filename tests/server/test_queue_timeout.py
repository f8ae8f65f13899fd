"""A request that waits longer than it may is refused over HTTP and has left the queue; those that have begun continue."""

import threading
from pathlib import Path
from typing import Any

import pytest
from models import BuiltModel
from serving import ready_server

TOKENS, ASKED = 600, 8
BODY = {"model": "tiny", "prompt": "Hello", "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True}


@pytest.mark.slow
def test_a_request_that_waits_too_long_is_refused_and_leaves_the_queue(tiny: BuiltModel, tmp_path: Path) -> None:
    """With a bound of 0 s and one row, what arrives while another request is in its turn is refused."""
    with ready_server(tiny.served_dir, tmp_path, MAX_SLOTS="1", QUEUE_SECONDS="0") as server:
        assert server.post("/v1/completions", json={**BODY, "max_tokens": 1}).status_code == 200, "a free row needs no waiting"
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(server.post("/v1/completions", json=BODY))) for _ in range(ASKED)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [answer for answer in answers if answer.status_code != 200]
        served = [answer for answer in answers if answer.status_code == 200]
        assert refused, "one row cannot serve all of them at once"
        assert served
        for answer in refused:
            assert (answer.status_code, answer.json()["error"]["code"], answer.headers["retry-after"]) == (503, "queue_timeout", "1")
        assert len({answer.json()["choices"][0]["text"] for answer in served}) == 1, "paused or not"
        assert server.metric("tunewright:queue_timeouts_total") == len(refused)
        assert server.metric("vllm:generation_tokens_total") == 1 + TOKENS * len(served)
        assert server.metric("vllm:num_requests_waiting") == server.metric("tunewright:num_tokens_waiting") == 0
        assert server.metric("tunewright:num_requests_paused") == 0
