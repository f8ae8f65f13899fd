"""Large requests, each with one answer, fill all rows; short questions come. Counted in runs of the graph, never in seconds.

To add a case, add a row. `first` is the run in which the first question comes; each next one comes `pause` runs after the last was
answered.
"""

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from list_decoder import ListDecoder, collect, expected_answer, running

from tunewright_server.engine.answer import FACTOR, TURN_STEPS, Turn, Turns
from tunewright_server.engine.loop import Engine
from tunewright_server.engine.request import Event, GenerationRequest, Sampling

QUESTION = GenerationRequest(prompt=(2, 3), max_tokens=5)
ALONE = 5  # runs that its answer takes on an idle engine


def large_requests(count: int, tokens: int = 900) -> list[GenerationRequest]:
    return [GenerationRequest(prompt=(7, each), max_tokens=tokens, sampling=Sampling(seed=each)) for each in range(count)]


@dataclass
class Questions:
    """Submits requests in the engine's own thread, at given runs of the graph, and counts the runs until each answer."""

    decoder: ListDecoder
    first: int
    count: int
    pause: int = 3
    took: list[int] = field(default_factory=list)
    answers: list[list[int]] = field(default_factory=list)
    engine: Engine | None = None

    def __call__(self, _: object) -> None:
        if self.engine and self.count and len(self.decoder.runs) >= self.first:
            self.count -= 1
            self.first = 2**40  # until this one is answered
            self._ask(self.engine)

    def _ask(self, engine: Engine) -> None:
        asked, tokens = len(self.decoder.runs), []

        def deliver(event: Event) -> None:
            tokens.append(event.token)
            if event.finish:
                self.took.append(len(self.decoder.runs) - asked)
                self.answers.append(tokens)
                self.first = len(self.decoder.runs) + self.pause

        engine.submit(QUESTION, deliver)


def serve(slots: int, large: Sequence[GenerationRequest], *, first: int, questions: int) -> tuple[Questions, int, int]:
    """Return the questions, how many runs it took until the large requests had ended, and how often a row was taken."""
    decoder = ListDecoder(slots=slots, max_length=2000)
    asked = decoder.before_run = Questions(decoder, first, questions)
    with running(decoder) as engine:
        queues: list[queue.Queue[Event]] = [queue.Queue() for _ in large]
        with engine._changed:  # all of them are there in the first step
            for request, events in zip(large, queues, strict=True):
                engine.submit(request, events.put)
            asked.engine = engine
        answers = [[event.token for event in collect(events)] for events in queues]
        runs, taken = len(decoder.runs), engine._rows_taken
    assert answers == [expected_answer(request) for request in large]
    assert all(answer == expected_answer(QUESTION) for answer in asked.answers)
    return asked, runs, taken


@pytest.mark.parametrize(
    ("slots", "large", "first", "at_most"),
    [
        (1, 1, 400, ALONE + 3),
        (2, 2, 400, ALONE + 3),
        (4, 4, 400, ALONE + 3),
        (16, 16, 400, ALONE + 3),
        (4, 4, 20, TURN_STEPS + ALONE + 3),  # they have only just begun
        (4, 8, 700, TURN_STEPS),
        (2, 6, 700, 3 * TURN_STEPS),
    ],
)
def test_a_short_question_does_not_wait_for_the_end_of_an_answer(slots: int, large: int, first: int, at_most: int) -> None:
    asked, _, taken = serve(slots, large_requests(large), first=first, questions=1)
    assert asked.took[0] <= at_most
    assert taken >= 1


@pytest.mark.parametrize(
    ("slots", "at_most", "end_by"),
    [(1, 12 * TURN_STEPS, 4000), (2, 8 * TURN_STEPS, 4000), (4, TURN_STEPS, 4000), (16, TURN_STEPS, 4000)],
)
def test_a_stream_of_short_questions_and_a_long_answer_both_progress(slots: int, at_most: int, end_by: int) -> None:
    asked, runs, _ = serve(slots, large_requests(slots), first=50, questions=10_000)
    assert max(asked.took) <= at_most
    assert sorted(asked.took)[len(asked.took) // 2] <= ALONE + 3, "most of them wait for nothing"
    assert runs <= end_by, "the large ones have ended"


@pytest.mark.parametrize(
    ("slots", "large", "tokens", "taken"),
    [(4, 4, 900, 0), (4, 5, TURN_STEPS, 0), (4, 8, 900, 16), (16, 32, 900, 64), (16, 24, 300, 8)],
    ids=["all have a row", "short answers", "twice the rows", "twice sixteen rows", "ordinary answers"],
)
def test_turns_take_less_than_twice_the_steps(slots: int, large: int, tokens: int, taken: int) -> None:
    _, runs, rows_taken = serve(slots, large_requests(large, tokens), first=0, questions=0)
    assert rows_taken <= taken
    assert runs <= 1.9 * -(-large // slots) * (tokens + 2 * slots), "against one large request after the other"


@pytest.mark.parametrize(
    ("over", "begun_with", "generated", "steps_to_return"),
    [
        (False, 0, TURN_STEPS - 1, 0),
        (True, 0, TURN_STEPS, 0),
        (False, 0, TURN_STEPS, TURN_STEPS),  # its prompt is long
        (True, 0, FACTOR * TURN_STEPS, TURN_STEPS),
        (False, 500, 1499, 500),
        (True, 500, 1500, 500),
    ],
)
def test_a_turn_is_longer_than_reading_its_tokens_again(over: bool, begun_with: int, generated: int, steps_to_return: float) -> None:
    assert Turn(begun_with).is_over(generated, steps_to_return=steps_to_return, turns=Turns()) is over


@pytest.mark.parametrize(
    ("aside", "paused_at", "generated", "step"),
    [(False, None, 200, 10), (True, 10, 200, 10), (True, 10, 200, 209), (False, 10, 200, 210), (False, 10, 201, 20)],
    ids=["never paused", "just paused", "for as long as coming back takes", "no longer", "it is back"],
)
def test_a_paused_answer_gives_way_for_a_limited_time(aside: bool, paused_at: int | None, generated: int, step: int) -> None:
    assert Turn(200, paused_at).steps_aside(generated, step, steps_to_return=200) is aside


def test_an_answer_interrupted_while_it_is_read_again_stays_in_its_pause() -> None:
    turn = Turn()
    turn.pause(200, 10)
    turn.pause(200, 50)
    assert turn == Turn(200, 10)
    turn.pause(201, 60)
    assert turn == Turn(201, 60)
