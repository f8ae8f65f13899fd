"""The model server while it is attacked: the probe is answered all the time.

To add a case, add a row: the path, the body, and the status that refuses it. `pytest -s` prints the longest time that a probe took, and the
server's peak of memory.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest
from models import TinyModel, build
from serving import Server, ready_server

BOUND_SECONDS = 5.0  # for one probe; Kubernetes kills a server whose probes take longer a few times
AT_ONCE = 4  # as many bodies of 15 MB as are read at a time
CHAT = '{"model": "tiny", "max_tokens": 1, "messages": [{"role": "user", "content": %s}]}'
PLAIN = '{"model": "tiny", "max_tokens": 1, "prompt": %s}'
MB = 1_000_000

# name -> (chat or plain, the body, its status)
ATTACKS = {
    "10,000 prompts, 128 choices": (PLAIN[:-1] % json.dumps([[5]] * 10_000) + ', "n": 128}', 400),
    "a message of 8.5 MB": (CHAT % json.dumps("word " * (8_500_000 // 5)), 400),
    "a prompt of 15 MB": (PLAIN % json.dumps("word " * 3 * MB), 400),
    "a prompt of 15 MB of escapes": (PLAIN % ('"' + "\\u00e4" * (15 * MB // 6) + '"'), 400),
    "token ids of 15 MB": (PLAIN % f"[{'5,' * (15 * MB // 2)}5]", 400),
    "empty lists of 15 MB": (PLAIN % f"[{'[],' * 5 * MB}[]]", 400),
    "messages of 15 MB": (CHAT[:-2] % '""' + ', {"role":"user","content":""}' * (15 * MB // 31) + "]}", 400),
    "an open string of 15 MB": (PLAIN[:-3] + '"' + '\\",' * 5 * MB, 400),
    "as many values as are read": (PLAIN % f"[{'[],' * 83_000}[]]", 400),
    "deep lists": (PLAIN % ("[" * 100_000 + "]" * 100_000), 400),
    "deep objects": (CHAT % ('{"a":' * 100_000 + "1" + "}" * 100_000), 400),
    "a lone surrogate": (CHAT % '"\\ud800"', 400),
    "lone surrogates of 15 MB": (PLAIN % ('"' + "\\ud800" * (15 * MB // 6) + '"'), 400),
    "a body of 17 MB": (PLAIN % json.dumps("x" * 17 * MB), 413),
    "0.5 MB of words": (CHAT % json.dumps("word " * 100_000), 400),
    "a word of 0.5 MB": (PLAIN % json.dumps("a" * 500_000), 400),
}


class Probe(threading.Thread):
    """Requests the liveness probe, on a new connection each time, until it is stopped."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port
        self._stop_asked = threading.Event()
        self.statuses: list[int] = []
        self.seconds: list[float] = []

    def run(self) -> None:
        while not self._stop_asked.wait(0.01):
            began = time.monotonic()
            try:
                self.statuses.append(self._ask())
            except OSError:  # cut, refused or too slow
                self.statuses.append(0)
            self.seconds.append(time.monotonic() - began)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()

    def _ask(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=2 * BOUND_SECONDS)
        try:
            connection.request("GET", "/v2/health/live")
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ready_server(build(TinyModel()).served_dir, tmp_path_factory.mktemp("server"), MAX_SLOTS="3") as running:
        yield running


def peak_megabytes(server: Server) -> float:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / MB


@pytest.mark.parametrize(("body", "status"), [pytest.param(*case, id=name) for name, case in ATTACKS.items()])
def test_a_server_under_attack_answers_its_probe(server: Server, body: str, status: int, request: pytest.FixtureRequest) -> None:
    path, content = "/v1/chat/completions" if '"messages"' in body[:60] else "/v1/completions", body.encode()
    with Probe(server.port) as probe, ThreadPoolExecutor(AT_ONCE) as attackers:
        answers = list(attackers.map(lambda _: server.post(path, content=content).status_code, range(AT_ONCE)))
    print(
        f"{request.node.callspec.id}: probes {len(probe.seconds)}, longest {max(probe.seconds):.3f} s, peak {peak_megabytes(server):.0f} MB"
    )
    assert set(probe.statuses) == {200}
    assert max(probe.seconds) < BOUND_SECONDS
    assert answers == [status] * AT_ONCE
