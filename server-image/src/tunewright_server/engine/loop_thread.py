"""What every engine's loop is: one thread, the queue before it, and its end.

Requests are admitted from any thread, while the queue has room. When the loop ends, all unfinished requests fail, with the reason.
"""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tunewright_server.engine.request import Failed

log = logging.getLogger(__name__)
DEFAULT_QUEUE_SECONDS = 300.0  # by then a client has given up, and later requests should not wait for it


class QueueFullError(Exception):
    """The queue is full."""


class EngineStoppedError(Exception):
    """The loop has ended, by `stop` or by a defect."""


class Delivers(Protocol):
    """A ticket of either engine."""

    def deliver(self, event: Failed, /) -> None: ...


class WaitingQueue(Protocol):
    """Tickets that wait. Not thread-safe."""

    def __len__(self) -> int: ...

    @property
    def tokens(self) -> int: ...

    def add(self, ticket: Any, /) -> None: ...


Queue = TypeVar("Queue", bound=WaitingQueue)


class LoopThread(ABC, Generic[Queue]):
    """An engine's loop. `_changed` guards the state that the loop and its callers share; the loop ends when `_stopping` is set."""

    def __init__(
        self, name: str, queue: Queue, *, queue_limit: int, queue_tokens: int, queue_seconds: float, clock: Callable[[], float]
    ) -> None:
        self.queue_limit = queue_limit  # tickets
        self.queue_tokens = queue_tokens  # of all that waits
        self._queue = queue
        self._queue_seconds = queue_seconds  # until a request begins
        self._clock = clock
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the loop is running. A busy loop is alive."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Tickets in the queue."""
        return len(self._queue)

    @property
    def waiting_tokens(self) -> int:
        """Tokens that the waiting need, at most."""
        with self._changed:
            return self._queue.tokens

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the loop after its current step. Unfinished requests get `Failed(stopping=True)`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _enqueue(self, tickets: Sequence[Any], *, tokens: int) -> None:
        """Queue tickets that need so many tokens, all or none. Raises `QueueFullError` and `EngineStoppedError`."""
        with self._changed:
            if self._stopping or not self.alive:
                raise EngineStoppedError
            if len(self._queue) + len(tickets) > self.queue_limit or self._queue.tokens + tokens > self.queue_tokens:
                raise QueueFullError
            for ticket in tickets:
                self._queue.add(ticket)
            self._changed.notify()

    def _fail_expired(self, tickets: Iterable[Delivers]) -> None:
        for ticket in tickets:
            ticket.deliver(Failed(f"the request has waited {self._queue_seconds:.0f} s for its turn; try again later", timed_out=True))

    def _run(self) -> None:
        """Work until `_stopping`."""
        last_words = Failed("the server is stopping", stopping=True)
        try:
            while self._wait_for_work():
                self._step()
        except Exception:
            log.exception("the engine loop ended by a defect")
            last_words = Failed("the engine has a defect; the server's log has the details")
        with self._changed:
            self._stopping = True
            self._give_up(last_words)

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._has_work())
            return not self._stopping

    @abstractmethod
    def _has_work(self) -> bool:
        """Return whether there is a step to make. `_changed` is held."""

    @abstractmethod
    def _step(self) -> None:
        """Make one step."""

    @abstractmethod
    def _give_up(self, last_words: Failed) -> None:
        """Deliver this to all unfinished requests, and forget them. `_changed` is held, and `_enqueue` accepts no more."""
