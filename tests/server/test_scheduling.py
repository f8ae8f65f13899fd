"""The loop over a decoder made of lists: who is in which run, who is cancelled, and what a failing run takes with it."""

import queue
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from list_decoder import REQUESTS, SWITCH, ListDecoder, ask, collect, expected_answer, running

from tunewright_server.engine.loop import EngineStoppedError, QueueFullError
from tunewright_server.engine.request import Event, Failed, FinishReason, GenerationRequest, Progress


@settings(max_examples=60)
@given(requests=st.lists(REQUESTS, min_size=1, max_size=10), slots=st.integers(1, 4), chunk=st.integers(1, 20), two_tables=st.booleans())
def test_every_answer_is_its_own_whoever_else_is_served(
    requests: list[GenerationRequest], slots: int, chunk: int, two_tables: bool
) -> None:
    switch = SWITCH if two_tables else None
    with running(ListDecoder(slots=slots, switch=switch), chunk=chunk, long_rope_switch=switch) as engine:
        found = [[event.token for event in events] for events in ask(engine, requests)]
    assert found == [expected_answer(request) for request in requests]


def test_live_answers_share_a_run() -> None:
    decoder, gate = ListDecoder(slots=4), threading.Event()
    decoder.before_run = lambda _: gate.wait(60)
    with running(decoder) as engine:
        ask(engine, [GenerationRequest(prompt=(each,), max_tokens=20) for each in range(4)], then=gate.set)
    assert max(decoder.runs) == 4


def test_a_long_prompt_lets_the_others_go_on() -> None:
    """While a prompt of 40 tokens is read in chunks of 4, the answer beside it gets a token after each chunk."""
    decoder, order, gate, begun = ListDecoder(slots=2), [], threading.Event(), threading.Event()

    def watch(rows: list[list[int]]) -> None:
        order.append("long" if rows[0][0] == 7 else "short")
        if begun.is_set():
            gate.wait(60)

    decoder.before_run = watch
    beside: queue.Queue[Event] = queue.Queue()
    with running(decoder, chunk=4) as engine:
        engine.submit(GenerationRequest(prompt=(1,), max_tokens=60), lambda event: (begun.set(), beside.put(event)))
        begun.wait(60)
        ask(engine, [GenerationRequest(prompt=(7,) * 40, max_tokens=1)], then=gate.set)
        collect(beside)
    reading = order[order.index("long") : len(order) - order[::-1].index("long")]
    assert reading == ["long", "short"] * 9 + ["long"]


def test_a_cancelled_answer_makes_room() -> None:
    decoder, started = ListDecoder(slots=1, max_length=100_000), threading.Event()
    with running(decoder) as engine:
        ticket = engine.submit(GenerationRequest(prompt=(1,), max_tokens=99_000), lambda _: started.set())
        started.wait(60)
        waiting: queue.Queue[Event] = queue.Queue()
        engine.submit(GenerationRequest(prompt=(2,), max_tokens=2), waiting.put)
        ticket.cancel()
        assert [event.token for event in collect(waiting)] == expected_answer(GenerationRequest(prompt=(2,), max_tokens=2))


def test_a_request_cancelled_in_the_queue_is_never_begun() -> None:
    decoder, started, release = ListDecoder(slots=1), threading.Event(), threading.Event()

    def hold(_: list[list[int]]) -> None:
        started.set()
        release.wait(60)

    decoder.before_run = hold
    with running(decoder) as engine:
        first: queue.Queue[Event] = queue.Queue()
        engine.submit(GenerationRequest(prompt=(1,), max_tokens=3), first.put)
        started.wait(60)
        delivered: list[Event] = []
        engine.submit(GenerationRequest(prompt=(2,), max_tokens=3), delivered.append).cancel()
        release.set()
        collect(first)
        ask(engine, [GenerationRequest(prompt=(3,), max_tokens=1)])
    assert delivered == []


def test_a_full_queue_refuses() -> None:
    decoder, release = ListDecoder(slots=1), threading.Event()
    decoder.before_run = lambda _: release.wait(60)
    with running(decoder, queue_limit=2) as engine:
        request, events = GenerationRequest(prompt=(1,), max_tokens=1), queue.Queue()
        submitted = 0
        with pytest.raises(QueueFullError):
            while True:
                engine.submit(request, events.put)
                submitted += 1
        release.set()
        for _ in range(submitted):
            assert isinstance(events.get(timeout=60), Progress)
    assert submitted in {2, 3}  # two that wait, and one if it was admitted meanwhile


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_failing_run_fails_those_in_it_and_nobody_else(phase: str) -> None:
    decoder = ListDecoder(slots=1)

    def fail_for_seven(rows: list[list[int]]) -> None:
        if rows[0][0] == 7 and (phase == "prefill" or len(rows[0]) == 3):
            raise RuntimeError("out of memory")

    decoder.before_run = fail_for_seven
    with running(decoder) as engine:
        broken, whole = ask(engine, [GenerationRequest(prompt=(prompt,), max_tokens=5) for prompt in (7, 8)])
        assert engine.alive
    assert broken[-1] == Failed("the model could not be run: RuntimeError")
    assert [event.token for event in whole] == expected_answer(GenerationRequest(prompt=(8,), max_tokens=5))


def test_numbers_that_are_none_fail_their_own_answer_only() -> None:
    class Poisoned(ListDecoder):
        def _run(self, first_row: int, count: int, *, fresh: bool) -> np.ndarray:
            logits = super()._run(first_row, count, fresh=fresh)
            for index in range(count):
                if self.rows[first_row + index][0] == 7:
                    logits[index, 0] = np.nan
            return logits

    with running(Poisoned(slots=2)) as engine:
        broken, whole = ask(engine, [GenerationRequest(prompt=(prompt,), max_tokens=5) for prompt in (7, 8)])
    assert broken == [Failed("the graph returned logits that are not finite")]
    assert whole[-1].finish is FinishReason.LENGTH


def test_a_defect_ends_the_loop_and_everybody_is_told() -> None:
    decoder, gate = ListDecoder(slots=2), threading.Event()

    def defect(_source: int, _target: int) -> None:
        raise AssertionError("a defect")

    decoder.before_run = lambda _: gate.wait(60)
    decoder.move = defect  # called when the short answer leaves and the long one takes its row
    with running(decoder) as engine:
        short, long = ask(engine, [GenerationRequest(prompt=(each,), max_tokens=2 + 38 * each) for each in (0, 1)], then=gate.set)
        assert short[-1].finish
        assert long[-1] == Failed("the engine has a defect; the server's log has the details")
        with pytest.raises(EngineStoppedError):
            engine.submit(GenerationRequest(prompt=(1,), max_tokens=1), lambda _: None)


def test_stopping_tells_everybody_and_takes_nothing_more() -> None:
    decoder, started = ListDecoder(slots=1, max_length=100_000), threading.Event()
    events: list[queue.Queue[Event]] = [queue.Queue(), queue.Queue()]
    with running(decoder) as engine:
        engine.submit(GenerationRequest(prompt=(1,), max_tokens=99_000), lambda event: (started.set(), events[0].put(event)))
        engine.submit(GenerationRequest(prompt=(2,), max_tokens=99_000), events[1].put)
        started.wait(60)
        engine.stop()
        assert collect(events[0])[-1] == collect(events[1])[-1] == Failed("the server is stopping", stopping=True)
        with pytest.raises(EngineStoppedError):
            engine.submit(GenerationRequest(prompt=(1,), max_tokens=1), lambda _: None)
