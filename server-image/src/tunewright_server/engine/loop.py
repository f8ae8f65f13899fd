"""The continuous-batching loop: one thread owns the graph and chooses the requests of every step.

A step reads about `chunk` tokens of waiting prompts and then decodes one token of every live answer, so a long prompt delays the
others by one chunk and not by its length (chunked prefill, Agrawal et al. 2023, arXiv:2308.16369; iteration-level scheduling, Yu et al.,
OSDI 2022). An answer that ends frees its row at once.

Requests take turns (see fair_queue and turns). A request without a row takes one from the request with most rows, or from an answer whose
turn is over. That answer gets a row again later: its tokens are then read and decoded again with the same result. A prompt that several
answers of one request share is read once.
"""

import logging
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from tunewright_server.engine.answer import Answer, Turns
from tunewright_server.engine.decoder import Decoder, Logits
from tunewright_server.engine.fair_queue import FairQueue
from tunewright_server.engine.lane import Lane
from tunewright_server.engine.loop_thread import DEFAULT_QUEUE_SECONDS, LoopThread
from tunewright_server.engine.request import Deliver, Failed, GenerationRequest, Group, Lengths, Ticket
from tunewright_server.engine.sampling import LogitsError
from tunewright_server.text.tokenizer import Decode

log = logging.getLogger(__name__)
DEFAULT_CHUNK = 256  # prompt tokens read between two decode steps


@dataclass(frozen=True)
class Load:
    """The engine's load after its last step."""

    running: int = 0
    cached_tokens: int = 0
    rows_taken: int = 0  # since the start: from answers that continued later
    queue_timeouts: int = 0  # since the start: answers that waited too long for a first row


class Engine(LoopThread[FairQueue]):
    """Serves `GenerationRequest`s over a `Decoder`. `submit` may be called from any thread; everything else runs in the engine's own."""

    def __init__(
        self,
        decoder: Decoder,
        decode_text: Decode,
        *,
        long_rope_switch: int | None = None,
        chunk: int = DEFAULT_CHUNK,
        queue_limit: int = 256,
        queue_tokens: int = 2**40,
        queue_seconds: float = DEFAULT_QUEUE_SECONDS,
        turns: Turns = Turns(),  # noqa: B008 - it is frozen
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "engine", FairQueue(), queue_limit=queue_limit, queue_tokens=queue_tokens, queue_seconds=queue_seconds, clock=clock
        )
        self.load = Load()
        self._decoder = decoder
        self._decode_text = decode_text
        self._switch = long_rope_switch
        self._chunk = chunk
        self._turns = turns
        self._steps = 0
        self._row_given = 0  # the last step in which a waiting answer got a row
        self._rows_taken = 0
        self._queue_timeouts = 0
        self._lanes = [Lane(slots=decoder.slots)]
        if long_rope_switch is not None:
            self._lanes.append(Lane(slots=decoder.slots, downwards=True))
        self._crossing: deque[Answer] = deque()  # answers that must be read again with the other rotary table

    @property
    def slots(self) -> int:
        return self._decoder.slots

    @property
    def lengths(self) -> Lengths:
        return self._decoder.lengths

    @property
    def max_length(self) -> int:
        return self.lengths.prompt

    @property
    def paused(self) -> int:
        """Answers that have begun and wait for a row."""
        with self._changed:
            return self._queue.paused

    def submit(self, request: GenerationRequest, deliver: Deliver, group: Group | None = None) -> Ticket:
        """Queue a request; those of one `group` share its turns.

        `deliver` is called from the engine's thread, once per token, and must neither block nor raise.

        Raises `QueueFullError`, `EngineStoppedError`, and `ValueError` for a request that does not fit a row.
        """
        if not request.prompt or not 1 <= request.max_tokens <= self.lengths.room(len(request.prompt)):
            msg = f"a prompt of {len(request.prompt)} tokens and {request.max_tokens} more do not fit {self.lengths}"
            raise ValueError(msg)
        if request.sampling.seed is None:
            request = replace(request, sampling=replace(request.sampling, seed=secrets.randbits(63)))
        ticket = Ticket(request, deliver, submitted=self._clock(), group=group or Group())
        self._enqueue([ticket], tokens=len(request.prompt) + request.max_tokens)
        return ticket

    def _has_work(self) -> bool:
        return bool(self._queue or self._crossing or any(self._lanes))

    def _step(self) -> None:
        self._steps += 1
        self._drop_cancelled()
        budget = self._chunk
        while budget > 0 and (lane := self._lane_to_fill()) is not None:
            budget -= self._fill(lane)
        self._drop_expired()  # last: even a bound of 0 s lets a request have a row that is free
        for lane in self._lanes:
            self._decode(lane)
        held = [answer for lane in self._lanes for answer in lane.all]
        self.load = Load(len(held), sum(answer.cached for answer in held), self._rows_taken, self._queue_timeouts)

    def _drop_cancelled(self) -> None:
        with self._changed:
            self._queue.drop_cancelled()
        self._crossing = deque(answer for answer in self._crossing if not answer.ticket.cancelled)
        for lane in self._lanes:
            for answer in lane.all:
                if answer.ticket.cancelled:
                    lane.remove(answer, self._decoder.move)

    def _drop_expired(self) -> None:
        with self._changed:
            expired = self._queue.take_expired(self._clock() - self._queue_seconds, self._rows())
        self._queue_timeouts += len(expired)
        self._fail_expired(expired)

    def _rows(self) -> Counter[Group]:
        """How many rows each group has, or will have when an answer has been read again."""
        answers = [*self._crossing, *(answer for lane in self._lanes for answer in lane.all)]
        return Counter(answer.ticket.group for answer in answers)

    def _lane_to_fill(self) -> Lane | None:
        """Return the lane in which a prompt is being read. If there is none and a row is available, admit the next answer of the queue."""
        filling = next((lane for lane in self._lanes if lane.filling), None)
        if filling or (sum(map(len, self._lanes)) == self._decoder.slots and not self._free_a_row()):
            return filling
        answer = self._next_answer()
        if answer is None:
            return None
        lane = self._lanes[-1] if self._is_long(answer) else self._lanes[0]
        lane.filling = answer
        return lane

    def _next_answer(self) -> Answer | None:
        if self._crossing:
            return self._crossing.popleft()
        with self._changed:
            item = self._queue.take(self._rows(), self._steps)
        if item is None:
            return None
        self._row_given = self._steps
        if isinstance(item, Answer):
            return item
        item.group.begun = True
        return Answer(item, self._decode_text, admitted=self._clock(), continued=self._decoder.start)

    def _free_a_row(self) -> bool:
        """Take a row for a request that has none, from the answer that can lose it and needs the fewest steps to return."""
        rows = self._rows()
        with self._changed:
            if not self._queue.starving(rows):
                return False
            newcomer = self._queue.has_newcomer()
        group, most = max(rows.items(), key=lambda item: item[1])
        quiet = self._steps - self._row_given >= self._turns.quiet_steps

        def may_lose(answer: Answer) -> bool:
            if most > 1:
                return answer.ticket.group is group
            return (newcomer and answer.steps_aside(self._steps)) or (quiet and answer.had_its_turn(self._turns))

        held = [(lane, answer) for lane in self._lanes for answer in lane.answers if may_lose(answer)]
        if not held:
            return False
        lane, answer = min(held, key=lambda item: item[1].steps_to_return)
        self._take_row_away(lane, answer)
        answer.pause(self._steps)
        self._rows_taken += 1
        with self._changed:
            self._queue.put_back(answer)
        return True

    def _take_row_away(self, lane: Lane, answer: Answer) -> None:
        lane.remove(answer, self._decoder.move)
        answer.cached = 0
        if lane is self._lanes[0] and self._is_long(answer):
            answer.read_length = len(answer.tokens)  # it exceeds its rotary table: all of it is read again with the other

    def _is_long(self, answer: Answer) -> bool:
        return self._switch is not None and len(answer.tokens) > self._switch

    def _fill(self, lane: Lane) -> int:
        """Read the next chunk of a prompt, or copy the prompt of another answer of its group. Return the number of tokens read."""
        answer = lane.filling
        assert answer is not None  # noqa: S101 - by `_lane_to_fill`
        group, prompt = answer.ticket.group, answer.ticket.request.prompt
        source = self._with_the_same_prompt(lane, answer)
        if source is not None and group.read is not None:
            self._decoder.share(lane.row_of(source), lane.filling_row, len(prompt))
            answer.cached = len(prompt)
            self._filled(lane, answer, group.read[1])
            return 1
        # A shorter run would choose the other rotary table.
        first = self._switch + 1 if self._switch is not None and self._is_long(answer) else 0
        chunk = answer.next_chunk(self._chunk if self._decoder.reads_in_pieces else answer.read_length, first=first)
        logits = self._guarded([answer], lane, lambda: self._decoder.prefill(lane.filling_row, chunk, answer.cached))
        if logits is None:
            return len(chunk)
        answer.cached += len(chunk)
        if answer.cached == answer.read_length:
            if answer.cached == len(prompt):
                group.read = (prompt, logits)
            self._filled(lane, answer, logits)
        return len(chunk)

    def _with_the_same_prompt(self, lane: Lane, answer: Answer) -> Answer | None:
        """An answer of the same group and lane whose row begins with this prompt, if none of this one's is read yet."""
        group, prompt = answer.ticket.group, answer.ticket.request.prompt
        if answer.cached or answer.read_length != len(prompt) or group.read is None or group.read[0] != prompt:
            return None
        alike = (each for each in lane.answers if each.ticket.group is group and each.ticket.request.prompt == prompt)
        return next((each for each in alike if len(prompt) == each.read_length <= each.cached), None)

    def _filled(self, lane: Lane, answer: Answer, logits: Logits) -> None:
        """Add an answer to the decoded ones. The tokens that it had before it lost its row are decoded again first."""
        lane.filled()
        if answer.complete:
            self._accept(lane, answer, logits)

    def _decode(self, lane: Lane) -> None:
        """Decode one token of every answer of the lane, after removing those that exceed its rotary table."""
        if lane is self._lanes[0]:
            for answer in [answer for answer in lane.answers if self._is_long(answer)]:
                self._take_row_away(lane, answer)
                self._crossing.append(answer)
        first_row, answers = lane.in_row_order()
        if not answers:
            return
        logits = self._guarded(answers, lane, lambda: self._decoder.decode(first_row, [answer.next_token for answer in answers]))
        if logits is None:
            return
        for answer, row in zip(answers, logits, strict=True):
            answer.cached += 1
            if answer.complete:
                self._accept(lane, answer, row)

    def _accept(self, lane: Lane, answer: Answer, logits: Logits) -> None:
        try:
            goes_on = answer.accept(logits, now=self._clock())
        except LogitsError as error:
            log.exception("an answer failed")
            answer.ticket.deliver(Failed(str(error)))
            goes_on = False
        if not goes_on:
            lane.remove(answer, self._decoder.move)

    def _guarded(self, answers: list[Answer], lane: Lane, run: Callable[[], Logits]) -> Logits | None:
        """Run the graph. If the run fails, its answers fail, and the loop continues with the others."""
        try:
            return run()
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
            log.exception("a run of the graph failed")
            for answer in answers:
                lane.remove(answer, self._decoder.move)
                answer.ticket.deliver(Failed(f"the model could not be run: {type(error).__name__}"))
            return None

    def _give_up(self, last_words: Failed) -> None:
        waiting = [item.ticket if isinstance(item, Answer) else item for item in self._queue]
        unfinished = [*waiting, *(answer.ticket for answer in self._crossing)]
        unfinished += [answer.ticket for lane in self._lanes for answer in lane.all]
        for ticket in unfinished:
            ticket.deliver(last_words)
        self._queue.clear()
        self.load = Load()
