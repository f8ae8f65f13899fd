"""Requests take turns at the rows of the cache, whatever their size; counted in runs of the graph, never in seconds."""

import queue
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from list_decoder import KINDS, REQUESTS, ListDecoder, collect, expected_answer, running

from tunewright_server.engine.answer import Answer, Turns
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.loop_thread import QueueFullError
from tunewright_server.engine.request import Event, Failed, GenerationRequest, Group, Sampling, Ticket


def submit(engine: Engine, groups: Sequence[Sequence[GenerationRequest]]) -> list[list["queue.Queue[Event]"]]:
    """Submit each group at once; return the queues of its answers."""
    found = []
    for requests in groups:
        group, queues = Group(), [queue.Queue() for _ in requests]
        for request, events in zip(requests, queues, strict=True):
            engine.submit(request, events.put, group)
        found.append(queues)
    return found


@pytest.mark.parametrize(
    ("slots", "held", "at_most"),
    [(1, 40, 90), (2, 40, 12), (4, 128, 12), (16, 128, 12)],
    ids=["one row: after two answers", "two rows", "four rows", "sixteen rows"],
)
def test_a_short_question_does_not_wait_for_a_large_request(slots: int, held: int, at_most: int) -> None:
    decoder, begun, gate = ListDecoder(slots=slots), threading.Event(), threading.Event()
    decoder.before_run = lambda _: gate.wait(60) if begun.is_set() else None
    large = [GenerationRequest(prompt=(1,), max_tokens=40, sampling=Sampling(seed=each)) for each in range(held)]
    with running(decoder, queue_limit=1000) as engine:
        group = Group()
        everything: queue.Queue[Event] = queue.Queue()
        for request in large:
            engine.submit(request, lambda event: (everything.put(event), begun.set()), group)
        begun.wait(60)
        before, runs = len(decoder.runs), queue.Queue()
        question = GenerationRequest(prompt=(2, 3), max_tokens=5)
        engine.submit(question, lambda event: runs.put((len(decoder.runs) - before, event)))  # counted in the engine's own thread
        gate.set()
        answer = [runs.get(timeout=60) for _ in range(5)]
        finished = 0
        while finished < held:
            finished += bool(everything.get(timeout=60).finish)
    assert [event.token for _, event in answer] == expected_answer(question)
    assert answer[-1][0] <= at_most, "runs of the graph until the question was answered"


@settings(max_examples=60)
@given(
    groups=st.lists(st.lists(REQUESTS, min_size=1, max_size=5), min_size=1, max_size=4),
    repeat=st.integers(1, 3),
    slots=st.integers(1, 4),
    chunk=st.integers(1, 20),
    kind=st.sampled_from([*KINDS]),
    turns=st.builds(Turns, st.integers(1, 12), st.integers(0, 4)),
)
def test_answers_are_not_mixed_while_rows_are_shared_and_preempted(  # noqa: PLR0917 - what hypothesis varies
    groups, repeat: int, slots: int, chunk: int, kind: str, turns: Turns
) -> None:
    groups = [[request for request in requests for _ in range(repeat)] for requests in groups]
    decoder, options = KINDS[kind]
    with running(ListDecoder(slots=slots, **decoder), chunk=chunk, turns=turns, **options) as engine:
        found = [[[event.token for event in collect(events)] for events in queues] for queues in submit(engine, groups)]
    assert found == [[expected_answer(request) for request in requests] for requests in groups]


@pytest.mark.parametrize("source", [None, 30], ids=["a prompt", "a source"])
def test_a_prompt_that_the_answers_of_a_request_share_is_read_once(source: int | None) -> None:
    decoder, gate = ListDecoder(slots=4, source=source), threading.Event()
    decoder.before_run = lambda _: gate.wait(60)  # until all of them wait
    requests = [GenerationRequest(prompt=tuple(range(30)), max_tokens=9) for _ in range(4)]
    with running(decoder, chunk=8) as engine:
        (queues,) = submit(engine, [requests])
        gate.set()
        for events in queues:
            collect(events)
    assert (sum(decoder.reads), decoder.shared) == (30, 3)


@pytest.mark.parametrize(
    ("length", "chunk", "cuts"),
    [
        (1, 8, [1]),
        (8, 8, [8]),
        (9, 8, [9]),
        (10, 8, [8, 2]),
        (16, 8, [8, 8]),
        (17, 8, [8, 9]),
        (5, 1, [2, 3]),
        (6, 2, [2, 2, 2]),
        (30, 256, [30]),
    ],
)
def test_a_prompt_is_always_cut_the_same_way_and_never_to_one_token(length: int, chunk: int, cuts: list[int]) -> None:
    request = GenerationRequest(prompt=tuple(range(length)), max_tokens=1)
    answer = Answer(Ticket(request, lambda _: None, 0.0, Group()), lambda _: "", admitted=0.0)
    found = []
    while answer.cached < length:
        found.append(len(answer.next_chunk(chunk)))
        answer.cached += found[-1]
    assert found == cuts


@given(lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6), chunk=st.integers(1, 16))
def test_the_cuts_of_a_prompt_do_not_depend_on_other_prompts(lengths: list[int], chunk: int) -> None:
    def reads(prompts: Sequence[int]) -> list[int]:
        decoder, gate = ListDecoder(slots=len(prompts)), threading.Event()
        decoder.before_run = lambda _: gate.wait(60)
        with running(decoder, chunk=chunk) as engine:
            queues = submit(engine, [[GenerationRequest(prompt=(7,) * length, max_tokens=2)] for length in prompts])
            gate.set()
            for events in queues:
                collect(events[0])
        return decoder.reads

    assert sorted(reads(lengths)) == sorted(size for length in lengths for size in reads([length]))


def test_a_queue_holds_so_many_tokens_and_no_more() -> None:
    decoder, release, started = ListDecoder(slots=1), threading.Event(), threading.Event()
    decoder.before_run = lambda _: (started.set(), release.wait(60))
    with running(decoder, queue_tokens=100) as engine:
        events: queue.Queue[Event] = queue.Queue()
        engine.submit(GenerationRequest(prompt=(1,), max_tokens=1), events.put)
        started.wait(60)
        engine.submit(GenerationRequest(prompt=(1,) * 30, max_tokens=30), events.put)
        with pytest.raises(QueueFullError):
            engine.submit(GenerationRequest(prompt=(1,) * 30, max_tokens=11), events.put)
        engine.submit(GenerationRequest(prompt=(1,) * 30, max_tokens=10), events.put)
        release.set()


def test_an_answer_that_waits_too_long_for_its_first_row_fails() -> None:
    decoder, release, started, now = ListDecoder(slots=1), threading.Event(), threading.Event(), [0.0]
    decoder.before_run = lambda _: (started.set(), release.wait(60))
    with running(decoder, queue_seconds=10.0, clock=lambda: now[0]) as engine:
        begun, late, early = submit(
            engine, [[GenerationRequest(prompt=(1,), max_tokens=3)] * 2, [GenerationRequest(prompt=(2,), max_tokens=3)], []]
        )
        started.wait(60)
        now[0] = 11.0
        (early,) = submit(engine, [[GenerationRequest(prompt=(3,), max_tokens=3)]])
        release.set()
        assert collect(late[0]) == [Failed("the request has waited 10 s for its turn; try again later", timed_out=True)]
        assert collect(early[0])[-1].finish
        assert all(collect(events)[-1].finish for events in begun), "a request that has begun goes on to its end"
