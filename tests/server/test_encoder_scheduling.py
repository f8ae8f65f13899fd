"""The loop of an encoder over a graph that computes nothing: which requests share a run, and which fail together."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunewright_server.engine.encoder_loop import RUN_ROWS, RUN_TOKENS, EncoderEngine
from tunewright_server.engine.loop_thread import EngineStoppedError, QueueFullError
from tunewright_server.engine.request import Failed
from tunewright_server.engine.row_queue import EncoderEvent, RowAnswer, TokenRow

Row = tuple[int, ...]
WAIT = 60


class SumEncoder:
    """The logits of a row are its length and the sum of its tokens, so that a wrong row gives a wrong answer."""

    def __init__(self, *, shares_runs: bool = True, max_length: int = 4096) -> None:
        self.max_length = max_length
        self.shares_runs = shares_runs
        self.runs: list[list[Row]] = []
        self.before_run: Callable[[list[Row]], None] = lambda _: None

    def width(self, length: int) -> int:
        return -(-length // 4) * 4

    def run(self, rows: Sequence[TokenRow], width: int) -> list[np.ndarray]:
        tokens = [row.tokens for row in rows]
        self.before_run(tokens)
        self.runs.append(tokens)
        assert {self.width(len(row)) for row in rows} == {width}
        return [np.array([len(row), sum(row)], np.float32) for row in tokens]


@contextmanager
def running(encoder: SumEncoder, **options: Any) -> Iterator[EncoderEngine]:
    engine = EncoderEngine(encoder, **options)
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


class Asked:
    """A submitted request and its answers."""

    def __init__(self, engine: EncoderEngine, rows: Sequence[Row]) -> None:
        self.events: queue.Queue[tuple[int, EncoderEvent]] = queue.Queue()
        self.rows = rows
        self.tickets = engine.submit([TokenRow(tokens) for tokens in rows], lambda index, event: self.events.put((index, event)))

    def answers(self) -> list[list[float] | str]:
        """The logits of each row, or why it failed."""
        found = dict(self.events.get(timeout=WAIT) for _ in self.rows)
        return [event.message if isinstance(event := found[index], Failed) else event.logits.tolist() for index in range(len(found))]


class Gate:
    """Holds the first run until it is opened, so that what comes meanwhile waits together."""

    def __init__(self, encoder: SumEncoder, engine: EncoderEngine) -> None:
        self._open, begun = threading.Event(), threading.Event()

        def hold(_: list[Row]) -> None:
            begun.set()
            self._open.wait(WAIT)

        encoder.before_run = hold
        self.first = Asked(engine, [(1,)])
        begun.wait(WAIT)

    def open(self) -> None:
        self._open.set()


ROWS = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=20).map(tuple), min_size=1, max_size=12)


@settings(max_examples=60)
@given(requests=st.lists(ROWS, min_size=1, max_size=6), shares_runs=st.booleans())
def test_every_row_gets_its_own_answer(requests: list[list[Row]], shares_runs: bool) -> None:
    with running(SumEncoder(shares_runs=shares_runs)) as engine:
        asked = [Asked(engine, rows) for rows in requests]
        found = [each.answers() for each in asked]
    assert found == [[[len(row), sum(row)] for row in rows] for rows in requests]


def test_rows_of_one_width_share_a_run_up_to_the_bounds() -> None:
    encoder = SumEncoder()
    with running(encoder) as engine:
        gate = Gate(encoder, engine)
        short, long = Asked(engine, [(1,) * 3] * (RUN_ROWS + 1)), Asked(engine, [(1,) * (RUN_TOKENS // 2)] * 3)
        gate.open()
        short.answers()
        long.answers()
    assert sorted(map(len, encoder.runs[1:])) == [1, 1, 2, RUN_ROWS]


def test_fewer_rows_share_a_run_where_that_is_set() -> None:
    encoder = SumEncoder()
    with running(encoder, run_rows=2) as engine:
        Asked(engine, [(1,)] * 5).answers()
    assert list(map(len, encoder.runs)) == [2, 2, 1]


def test_rows_that_may_not_share_a_run_run_alone() -> None:
    encoder = SumEncoder(shares_runs=False)
    with running(encoder) as engine:
        Asked(engine, [(1,)] * 5).answers()
    assert list(map(len, encoder.runs)) == [1] * 5


def test_a_short_request_is_answered_beside_a_large_one() -> None:
    encoder = SumEncoder(shares_runs=False)
    with running(encoder) as engine:
        gate = Gate(encoder, engine)
        large, short = Asked(engine, [(2,)] * 500), Asked(engine, [(3,)])
        gate.open()
        short.answers()
        large.answers()
    assert encoder.runs.index([(3,)]) <= 2


def test_a_width_that_few_rows_have_is_not_passed_over() -> None:
    """While requests of another width keep coming, a row's turn comes by the order of the requests."""
    encoder = SumEncoder()
    with running(encoder) as engine:
        gate = Gate(encoder, engine)
        asked = [Asked(engine, [(1,) * 3] * RUN_ROWS) for _ in range(3)]
        odd = Asked(engine, [(5,) * 9])
        asked += [Asked(engine, [(1,) * 3] * RUN_ROWS) for _ in range(3)]
        gate.open()
        for each in [odd, *asked]:
            each.answers()
    assert encoder.runs.index([(5,) * 9]) <= 2


def test_a_cancelled_row_is_not_run() -> None:
    encoder = SumEncoder()
    with running(encoder) as engine:
        gate = Gate(encoder, engine)
        gone, stays = Asked(engine, [(7,), (8,)]), Asked(engine, [(9,)])
        for ticket in gone.tickets:
            ticket.cancelled = True
        gate.open()
        assert stays.answers() == [[1, 9]]
        assert engine.waiting == 0
    assert encoder.runs[1:] == [[(9,)]]


def test_a_run_that_fails_takes_only_its_own_rows_with_it() -> None:
    encoder = SumEncoder(shares_runs=False)

    def fail(rows: list[Row]) -> None:
        if (6,) in rows:
            raise RuntimeError("bad")

    encoder.before_run = fail
    with running(encoder) as engine:
        assert Asked(engine, [(5,), (6,), (7,)]).answers() == [[1, 5], "the model could not be run: RuntimeError", [1, 7]]
        assert engine.alive


def test_a_row_without_finite_numbers_fails_alone() -> None:
    class Broken(SumEncoder):
        def run(self, rows: Sequence[TokenRow], width: int) -> list[np.ndarray]:
            return [array * (np.nan if row.tokens == (6,) else 1) for array, row in zip(super().run(rows, width), rows, strict=True)]

    with running(Broken()) as engine:
        assert Asked(engine, [(5,), (6,), (7,)]).answers() == [[1, 5], "the graph returned logits that are not finite", [1, 7]]


def test_a_queue_that_is_full_of_rows_or_of_tokens_takes_a_request_whole_or_not_at_all() -> None:
    encoder = SumEncoder()
    with running(encoder, queue_limit=4, queue_tokens=10) as engine:
        gate = Gate(encoder, engine)
        waiting = Asked(engine, [(1,), (2,)])
        with pytest.raises(QueueFullError):
            Asked(engine, [(3,)] * 3)  # rows
        with pytest.raises(QueueFullError):
            Asked(engine, [(3,) * 9])  # tokens
        assert engine.waiting == 2
        gate.open()
        assert waiting.answers() == [[1, 1], [1, 2]]


def test_a_request_that_waits_too_long_fails_whole_and_one_that_has_begun_goes_on() -> None:
    encoder, now = SumEncoder(shares_runs=False), [0.0]
    with running(encoder, queue_seconds=10, clock=lambda: now[0]) as engine:
        gate = Gate(encoder, engine)
        begins, waits = Asked(engine, [(2,), (3,)]), Asked(engine, [(4,), (5,)])
        now[0] = 11.0
        gate.open()
        assert begins.answers() == [[1, 2], [1, 3]]
        assert waits.answers() == ["the request has waited 10 s for its turn; try again later"] * 2
        assert engine.load.queue_timeouts == 2


@pytest.mark.parametrize("row", [(), (1,) * 9], ids=["empty", "too long"])
def test_a_row_that_does_not_fit_is_a_mistake_of_the_caller(row: Row) -> None:
    with running(SumEncoder(max_length=8)) as engine, pytest.raises(ValueError, match="a row must have 1 to 8 tokens"):
        Asked(engine, [(1,), row])


def test_a_stopped_engine_ends_what_waits_and_takes_nothing_new() -> None:
    encoder = SumEncoder()
    with running(encoder) as engine:
        gate = Gate(encoder, engine)
        waits = Asked(engine, [(2,)])
        stopping = threading.Thread(target=engine.stop)
        stopping.start()
        while not engine._stopping:
            pass
        gate.open()
        stopping.join(WAIT)
        assert gate.first.answers() == [[1, 1]]
        assert waits.answers() == ["the server is stopping"]
        assert not engine.alive
        with pytest.raises(EngineStoppedError):
            Asked(engine, [(1,)])


def test_times_tell_waiting_from_running() -> None:
    encoder, now = SumEncoder(), [0.0]
    with running(encoder, clock=lambda: now[0]) as engine:
        gate = Gate(encoder, engine)
        now[0] = 5.0
        gate.open()
        _, event = gate.first.events.get(timeout=WAIT)
    assert isinstance(event, RowAnswer)
    assert (event.submitted, event.begun, event.finished) == (0.0, 0.0, 5.0)
