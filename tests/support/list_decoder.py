"""A decoder that computes nothing and mixes nothing up: tests of the engine's scheduling run it instead of a graph."""

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import Event, Failed, GenerationRequest, Lengths

VOCABULARY = 50
SWITCH = 12
START = (3,)  # of each target


class ListDecoder:
    """Stores each row's tokens. The next token is a function of all of them, so a wrong row gives a wrong answer.

    With `source`, a prompt is a source of `source` tokens at most: it is read whole, and does not shorten the answer.
    """

    def __init__(self, *, slots: int, max_length: int = 64, switch: int | None = None, source: int | None = None) -> None:
        self.slots = slots
        self.lengths = Lengths.shared(max_length) if source is None else Lengths.separate(prompt=source, answer=max_length)
        self.reads_in_pieces = source is None
        self.start = None if source is None else START
        self.rows: list[list[int]] = [[] for _ in range(slots)]
        self.runs: list[int] = []  # tokens per run, for those who ask how work was shared
        self.shared = 0  # rows that were copied instead of read
        self.reads: list[int] = []  # tokens of each chunk that was read
        self.before_run: Callable[[list[list[int]]], None] = lambda _: None
        self._switch = switch

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> np.ndarray:
        assert self.reads_in_pieces or start == 0, "a source was read in pieces"
        self.rows[row] = self.rows[row][:start] + list(tokens)
        self.reads.append(len(tokens))
        return self._run(row, 1, fresh=start == 0)[0]

    def decode(self, first_row: int, tokens: Sequence[int]) -> np.ndarray:
        for offset, token in enumerate(tokens):
            self.rows[first_row + offset].append(token)
        return self._run(first_row, len(tokens), fresh=False)

    def move(self, source: int, target: int) -> None:
        self.rows[target] = list(self.rows[source])

    def share(self, source: int, target: int, length: int) -> None:
        self.rows[target] = self.rows[source][:length]
        self.shared += 1

    def _run(self, first_row: int, count: int, *, fresh: bool) -> np.ndarray:
        rows = self.rows[first_row : first_row + count]
        self.before_run(rows)
        self.runs.append(count)
        if self._switch is not None:
            long = {len(row) > self._switch for row in rows}
            assert len(long) == 1, "rows of both rotary tables in one run"
            assert fresh or True not in long or all(len(row) > self._switch + 1 for row in rows), "a row crossed without being read again"
        logits = np.zeros((count, VOCABULARY), np.float32)
        for index, row in enumerate(rows):
            logits[index, next_token(row)] = 1
        return logits


# What the loop must serve alike -> arguments of `ListDecoder`, and of the loop.
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a prompt": ({}, {}),
    "a prompt, two rotary tables": ({"switch": SWITCH}, {"long_rope_switch": SWITCH}),
    "a source": ({"source": 40}, {}),
}


def next_token(row: Sequence[int]) -> int:
    return hash(tuple(row)) % VOCABULARY


def expected_answer(request: GenerationRequest) -> list[int]:
    tokens = list(request.prompt)
    for _ in range(request.max_tokens):
        tokens.append(next_token(tokens))
        if tokens[-1] in request.stop_token_ids:
            break
    return tokens[len(request.prompt) :]


@contextmanager
def running(decoder: ListDecoder, **options: Any) -> Iterator[Engine]:
    engine = Engine(decoder, lambda tokens: "".join(chr(97 + token % 26) for token in tokens), **options)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def collect(events: "queue.Queue[Event]") -> list[Event]:
    found = []
    while True:
        found.append(events.get(timeout=60))
        if isinstance(found[-1], Failed) or found[-1].finish:
            return found


def ask(engine: Engine, requests: Sequence[GenerationRequest], *, then: Callable[[], None] = lambda: None) -> list[list[Event]]:
    """Submit everything, do `then`, and wait for every answer."""
    queues: list[queue.Queue[Event]] = [queue.Queue() for _ in requests]
    for request, events in zip(requests, queues, strict=True):
        engine.submit(request, events.put)
    then()
    return [collect(events) for events in queues]


REQUESTS = st.builds(
    GenerationRequest,
    prompt=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=30).map(tuple),
    max_tokens=st.integers(1, 30),
    stop_token_ids=st.frozensets(st.integers(0, VOCABULARY - 1), max_size=3),
)
