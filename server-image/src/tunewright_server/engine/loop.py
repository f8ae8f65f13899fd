"""The continuous-batching loop: one thread that owns the graph and decides in every step who is in it.

A step reads at most `chunk` tokens of waiting prompts and then decodes one token of every live answer, so a long prompt delays the
others by one chunk and not by its length (chunked prefill, Agrawal et al. 2023, arXiv:2308.16369; iteration-level scheduling, Yu et al.,
OSDI 2022). An answer that ends frees its row at once.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from tunewright_server.engine.answer import Answer
from tunewright_server.engine.decoder import Decoder, Logits
from tunewright_server.engine.lane import Lane
from tunewright_server.engine.request import Deliver, Failed, GenerationRequest, Ticket
from tunewright_server.engine.sampling import LogitsError
from tunewright_server.text.detokenize import Decode

log = logging.getLogger(__name__)
DEFAULT_CHUNK = 256  # prompt tokens read between two decode steps


class QueueFullError(Exception):
    """More requests are waiting than the engine is willing to keep."""


class EngineStoppedError(Exception):
    """The loop has ended, by wish or by a defect."""


@dataclass(frozen=True)
class Load:
    """How busy the engine was after its last step."""

    running: int = 0
    cached_tokens: int = 0


class Engine:
    """Serves `GenerationRequest`s over a `Decoder`. `submit` may be called from any thread; everything else happens in its own."""

    def __init__(
        self,
        decoder: Decoder,
        decode_text: Decode,
        *,
        long_rope_switch: int | None = None,
        chunk: int = DEFAULT_CHUNK,
        queue_limit: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.load = Load()
        self.queue_limit = queue_limit
        self._decoder = decoder
        self._decode_text = decode_text
        self._switch = long_rope_switch
        self._chunk = chunk
        self._clock = clock
        self._lanes = [Lane(slots=decoder.slots)]
        if long_rope_switch is not None:
            self._lanes.append(Lane(slots=decoder.slots, downwards=True))
        self._queue: deque[Ticket] = deque()
        self._crossing: deque[Answer] = deque()  # must be read again with the other rotary table
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def slots(self) -> int:
        return self._decoder.slots

    @property
    def max_length(self) -> int:
        return self._decoder.max_length

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @property
    def alive(self) -> bool:
        """Whether the loop is turning. A busy loop is alive."""
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the loop after the current step; whoever is unfinished gets `Failed(stopping=True)`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, request: GenerationRequest, deliver: Deliver) -> Ticket:
        """Queue a request. `deliver` is called from the engine's thread, once per token, and must neither block nor raise.

        Raises `QueueFullError`, `EngineStoppedError`, and `ValueError` for a request that does not fit a row.
        """
        if not 0 < len(request.prompt) <= len(request.prompt) + request.max_tokens - 1 < self.max_length:
            msg = f"a prompt of {len(request.prompt)} tokens and {request.max_tokens} more do not fit {self.max_length}"
            raise ValueError(msg)
        if request.sampling.seed is None:
            request = replace(request, sampling=replace(request.sampling, seed=secrets.randbits(63)))
        ticket = Ticket(request, deliver, submitted=self._clock())
        with self._changed:
            if self._stopping or not self.alive:
                raise EngineStoppedError
            if len(self._queue) >= self.queue_limit:
                raise QueueFullError
            self._queue.append(ticket)
            self._changed.notify()
        return ticket

    def _run(self) -> None:
        last_words = Failed("the server is stopping", stopping=True)
        try:
            while self._wait_for_work():
                self._step()
        except Exception:
            log.exception("the engine loop ended by a defect")
            last_words = Failed("the engine has a defect; the server's log says more")
        with self._changed:
            self._stopping = True
        self._give_up(last_words)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._queue or self._crossing or any(self._lanes))
            return not self._stopping

    def _step(self) -> None:
        self._drop_cancelled()
        budget = self._chunk
        while budget > 0 and (lane := self._lane_to_fill()) is not None:
            budget -= self._fill(lane, budget)
        for lane in self._lanes:
            self._decode(lane)
        held = [answer for lane in self._lanes for answer in lane.all]
        self.load = Load(running=len(held), cached_tokens=sum(answer.cached for answer in held))

    def _drop_cancelled(self) -> None:
        with self._changed:
            self._queue = deque(ticket for ticket in self._queue if not ticket.cancelled)
        self._crossing = deque(answer for answer in self._crossing if not answer.ticket.cancelled)
        for lane in self._lanes:
            for answer in lane.all:
                if answer.ticket.cancelled:
                    lane.remove(answer, self._decoder.move)

    def _lane_to_fill(self) -> Lane | None:
        """The lane in which a prompt is being read; the next in the queue is admitted when there is none and a row is free."""
        filling = next((lane for lane in self._lanes if lane.filling), None)
        if filling or sum(map(len, self._lanes)) == self._decoder.slots:
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
            return Answer(self._queue.popleft(), self._decode_text, admitted=self._clock()) if self._queue else None

    def _is_long(self, answer: Answer) -> bool:
        return self._switch is not None and len(answer.tokens) > self._switch

    def _fill(self, lane: Lane, budget: int) -> int:
        """Read the next chunk of a prompt; return how many tokens that were."""
        answer = lane.filling
        assert answer is not None  # noqa: S101 - by `_lane_to_fill`
        if self._switch is not None and self._is_long(answer) and answer.cached == 0:
            budget = max(budget, self._switch + 1)  # a shorter run would choose the other rotary table
        chunk = answer.tokens[answer.cached : answer.cached + budget]
        logits = self._guarded([answer], lane, lambda: self._decoder.prefill(lane.filling_row, chunk, answer.cached))
        if logits is None:
            return len(chunk)
        answer.cached += len(chunk)
        if answer.cached == len(answer.tokens):
            lane.filled()
            self._accept(lane, answer, logits)
        return len(chunk)

    def _decode(self, lane: Lane) -> None:
        """One token for every answer of the lane, after those that outgrew it have left."""
        if lane is self._lanes[0]:
            for answer in [answer for answer in lane.answers if self._is_long(answer)]:
                lane.remove(answer, self._decoder.move)
                answer.cached = 0
                self._crossing.append(answer)
        first_row, answers = lane.in_row_order()
        if not answers:
            return
        logits = self._guarded(answers, lane, lambda: self._decoder.decode(first_row, [answer.tokens[-1] for answer in answers]))
        if logits is None:
            return
        for answer, row in zip(answers, logits, strict=True):
            answer.cached += 1
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
        """Run the graph. When it fails, the answers in that run fail with it, and the loop goes on for the others."""
        try:
            return run()
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
            log.exception("a run of the graph failed")
            for answer in answers:
                lane.remove(answer, self._decoder.move)
                answer.ticket.deliver(Failed(f"the model could not be run: {type(error).__name__}"))
            return None

    def _give_up(self, last_words: Failed) -> None:
        unfinished = [*self._queue, *(answer.ticket for answer in self._crossing)]
        unfinished += [answer.ticket for lane in self._lanes for answer in lane.all]
        for ticket in unfinished:
            ticket.deliver(last_words)
        self._queue.clear()
        self.load = Load()
