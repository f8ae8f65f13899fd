"""The loop of an encoder: one thread takes rows from the queue, runs them together and delivers each its logits."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tunewright_server.engine.loop_thread import DEFAULT_QUEUE_SECONDS, LoopThread
from tunewright_server.engine.request import Failed, Group
from tunewright_server.engine.row_queue import DeliverRow, Logits, RowAnswer, RowQueue, RowTicket, TokenRow

log = logging.getLogger(__name__)
RUN_ROWS = 32
RUN_TOKENS = 2048  # with padding: on CPU a longer run gains no throughput, and lets the next request wait
QUEUE_ROWS = 1024
QUEUE_RUNS = 64  # how many full runs of tokens may wait


class RowEncoder(Protocol):
    """What the loop needs of a graph; see `Encoder`."""

    max_length: int
    shares_runs: bool

    def width(self, length: int) -> int: ...

    def run(self, rows: Sequence[TokenRow], width: int) -> Sequence[Logits]: ...


@dataclass(frozen=True)
class EncoderLoad:
    """How busy the engine is."""

    running: int = 0  # rows
    runs: int = 0  # since the start
    queue_timeouts: int = 0  # rows, since the start


class EncoderEngine(LoopThread[RowQueue]):
    """`submit` may be called from any thread; everything else happens in the engine's own."""

    def __init__(
        self,
        encoder: RowEncoder,
        *,
        run_rows: int = RUN_ROWS,
        queue_limit: int = QUEUE_ROWS,
        queue_tokens: int | None = None,
        queue_seconds: float = DEFAULT_QUEUE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(
            "encoder",
            RowQueue(),
            queue_limit=queue_limit,
            queue_tokens=queue_tokens or QUEUE_RUNS * max(RUN_TOKENS, encoder.max_length),
            queue_seconds=queue_seconds,
            clock=clock,
        )
        self.load = EncoderLoad()
        self._encoder = encoder
        self._run_rows = run_rows

    @property
    def max_length(self) -> int:
        return self._encoder.max_length

    def submit(self, rows: Sequence[TokenRow], deliver: DeliverRow) -> list[RowTicket]:
        """Queue the rows of one request, all or none; they share the request's turns.

        `deliver` is called once for each row, from the engine's thread, and must neither block nor raise.

        Raises `QueueFullError`, `EngineStoppedError`, and `ValueError` for a row that does not fit.
        """
        if not all(0 < len(row) <= self.max_length for row in rows):
            msg = f"a row must have 1 to {self.max_length} tokens"
            raise ValueError(msg)
        group, now = Group(), self._clock()
        tickets = [RowTicket(index, row, deliver, now, group) for index, row in enumerate(rows)]
        self._enqueue(tickets, tokens=sum(map(len, rows)))
        return tickets

    def _has_work(self) -> bool:
        return len(self._queue) > 0

    def _step(self) -> None:
        with self._changed:
            self._queue.drop_cancelled()
            width, rows = self._queue.take(self._encoder.width, self._room)
            # After the run is chosen: even a bound of 0 s lets a request have a run that is free.
            expired = self._queue.take_expired(self._clock() - self._queue_seconds)
        self._fail_expired(expired)
        self.load = EncoderLoad(len(rows), self.load.runs + bool(rows), self.load.queue_timeouts + len(expired))
        if rows:
            self._encode(rows, width)
        self.load = EncoderLoad(0, self.load.runs, self.load.queue_timeouts)

    def _room(self, width: int) -> int:
        return max(1, min(self._run_rows, RUN_TOKENS // width)) if self._encoder.shares_runs else 1

    def _encode(self, rows: list[RowTicket], width: int) -> None:
        """Run the graph. When it fails, its rows fail with it, and the loop continues for the others."""
        begun = self._clock()
        try:
            found = self._encoder.run([ticket.row for ticket in rows], width)
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
            log.exception("a run of the graph failed")
            for ticket in rows:
                ticket.deliver(Failed(f"the model could not be run: {type(error).__name__}"))
            return
        finished = self._clock()
        for ticket, logits in zip(rows, found, strict=True):
            if np.isfinite(logits).all():
                ticket.deliver(RowAnswer(logits=logits, submitted=ticket.submitted, begun=begun, finished=finished))
            else:
                log.error("the graph returned logits that are not finite")
                ticket.deliver(Failed("the graph returned logits that are not finite"))

    def _give_up(self, last_words: Failed) -> None:
        for ticket in self._queue:
            ticket.deliver(last_words)
        self._queue.clear()
        self.load = EncoderLoad()
