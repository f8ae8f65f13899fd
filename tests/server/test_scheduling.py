"""The loop over a decoder made of lists: who is in which run, who is cancelled, and what a failing run takes with it."""

import queue
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from list_decoder import KINDS, REQUESTS, START, ListDecoder, ask, collect, expected_answer, running

from tunewright_server.engine.loop_thread import EngineStoppedError, QueueFullError
from tunewright_server.engine.request import Event, Failed, FinishReason, GenerationRequest, Progress
from tunewright_server.engine.sampling import Sampler

SOURCES = pytest.mark.parametrize("source", [None, 40], ids=["a prompt", "a source"])


@settings(max_examples=60)
@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=10), slots=st.integers(1, 4), chunk=st.integers(1, 20), kind=st.sampled_from([*KINDS])
)
def test_answers_of_parallel_requests_are_not_mixed(requests: list[GenerationRequest], slots: int, chunk: int, kind: str) -> None:
    decoder, options = KINDS[kind]
    with running(ListDecoder(slots=slots, **decoder), chunk=chunk, **options) as engine:
        found = [[event.token for event in events] for events in ask(engine, requests)]
    assert found == [expected_answer(request) for request in requests]


@SOURCES
def test_live_answers_share_a_run(source: int | None) -> None:
    decoder, gate = ListDecoder(slots=4, source=source), threading.Event()
    decoder.before_run = lambda _: gate.wait(60)
    with running(decoder) as engine:
        ask(engine, [GenerationRequest(prompt=(each,), max_tokens=20) for each in range(4)], then=gate.set)
    assert max(decoder.runs) == 4


def test_a_long_prompt_does_not_block_other_answers() -> None:
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


def test_a_long_source_is_read_whole_between_two_tokens_of_the_others() -> None:
    decoder, gate, begun = ListDecoder(slots=2, source=40), threading.Event(), threading.Event()
    decoder.before_run = lambda _: gate.wait(60) if begun.is_set() else None
    beside: queue.Queue[Event] = queue.Queue()
    with running(decoder, chunk=4) as engine:
        engine.submit(GenerationRequest(prompt=(1,), max_tokens=60), lambda event: (begun.set(), beside.put(event)))
        begun.wait(60)
        ask(engine, [GenerationRequest(prompt=(7,) * 40, max_tokens=1)], then=gate.set)
        collect(beside)
    assert decoder.reads == [1, 40]


def test_a_source_does_not_shorten_its_answer() -> None:
    with running(ListDecoder(slots=1, source=40, max_length=50)) as engine:
        request = GenerationRequest(prompt=(7,) * 40, max_tokens=50)
        assert [[event.token for event in events] for events in ask(engine, [request])] == [expected_answer(request)]
        for prompt, tokens in ((41, 1), (1, 51)):
            with pytest.raises(ValueError, match=f"a prompt of {prompt} tokens and {tokens} more do not fit 40 and 50"):
                engine.submit(GenerationRequest(prompt=(7,) * prompt, max_tokens=tokens), lambda _: None)


@SOURCES
def test_a_penalty_counts_the_sequence_that_the_answer_continues(source: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The prompt and the answer; of a model with an encoder only the target, as transformers does."""
    seen: list[list[int]] = []
    monkeypatch.setattr(Sampler, "choose", lambda _, logits, before: (seen.append(list(before)), int(logits.argmax()))[1])
    request = GenerationRequest(prompt=(7, 8), max_tokens=2)
    with running(ListDecoder(slots=1, source=source)) as engine:
        ask(engine, [request])
    first = list(request.prompt if source is None else START)
    assert seen == [first, [*first, expected_answer(request)[0]]]


@SOURCES
def test_a_cancelled_answer_frees_its_row(source: int | None) -> None:
    decoder, started = ListDecoder(slots=1, max_length=100_000, source=source), threading.Event()
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


@SOURCES
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_a_failing_run_fails_only_its_answers(phase: str, source: int | None) -> None:
    decoder = ListDecoder(slots=1, source=source)

    def fail_for_seven(rows: list[list[int]]) -> None:
        if rows[0][0] == 7 and (phase == "prefill" or len(rows[0]) == 3):
            raise RuntimeError("out of memory")

    decoder.before_run = fail_for_seven
    with running(decoder) as engine:
        broken, whole = ask(engine, [GenerationRequest(prompt=(prompt,), max_tokens=5) for prompt in (7, 8)])
        assert engine.alive
    assert broken[-1] == Failed("the model could not be run: RuntimeError")
    assert [event.token for event in whole] == expected_answer(GenerationRequest(prompt=(8,), max_tokens=5))


def test_a_nan_fails_only_its_answer() -> None:
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


def test_a_defect_ends_the_loop_and_fails_all_answers() -> None:
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


@SOURCES
def test_stopping_fails_all_answers_and_accepts_no_more(source: int | None) -> None:
    decoder, started = ListDecoder(slots=1, max_length=100_000, source=source), threading.Event()
    events: list[queue.Queue[Event]] = [queue.Queue(), queue.Queue()]
    with running(decoder) as engine:
        engine.submit(GenerationRequest(prompt=(1,), max_tokens=99_000), lambda event: (started.set(), events[0].put(event)))
        engine.submit(GenerationRequest(prompt=(2,), max_tokens=99_000), events[1].put)
        started.wait(60)
        engine.stop()
        assert collect(events[0])[-1] == collect(events[1])[-1] == Failed("the server is stopping", stopping=True)
        with pytest.raises(EngineStoppedError):
            engine.submit(GenerationRequest(prompt=(1,), max_tokens=1), lambda _: None)
