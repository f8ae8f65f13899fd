"""The keyed work queue: controller-runtime's contract, for asyncio.

Promises: one worker at a time has a key. A key that is added meanwhile is processed again afterwards. Adding a waiting key twice has no
effect. Every added key is eventually returned, a delayed key not before its time. Events have priority over routine work, such as the
thousands of idle objects that a starting operator reconciles (controller-runtime's priority queue does the same). Routine work still gets
every eighth turn. A closed queue refuses new keys. It is for one event loop and not thread-safe.
"""

import asyncio
import heapq
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import count
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
ROUTINE_TURN = 8  # of so many keys handed out, one is routine, however many events there are


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """All in seconds. `jitter` is the random share of a delay."""

    first: float = 0.5
    factor: float = 2.0
    ceiling: float = 300.0
    jitter: float = 0.2

    def delay(self, failures: int, chance: float) -> float:
        """Return the wait after the given number of failures in a row (1 for the first). `chance` is drawn from [0, 1)."""
        # The exponent is bounded, because 2.0 ** 5000 raises OverflowError.
        full = min(self.ceiling, self.first * self.factor ** min(max(failures, 1) - 1, 64))
        return full * (1.0 - self.jitter * chance)


class QueueClosedError(Exception):
    """There is no more work, because the queue was closed."""


class Queue(Generic[K]):
    """Keys to reconcile. `clock` is monotonic, in seconds; `chance` draws from [0, 1)."""

    def __init__(self, *, clock: Callable[[], float], chance: Callable[[], float], backoff: Backoff | None = None) -> None:
        self._clock = clock
        self._chance = chance
        self._backoff = backoff or Backoff()
        self._news: dict[K, float] = {}  # waiting since when, in order; never in `_working`, too
        self._routine: dict[K, float] = {}  # the same for routine work; a key is in at most one of the two
        self._working: dict[K, float] = {}  # since when
        self._handed_out: float | None = None  # when a key was last handed out
        self._turns = count(1)
        self._again: dict[K, bool] = {}  # added while it was processed -> whether as routine only
        self._due: dict[K, float] = {}  # delayed keys -> when they are due
        self._due_as_routine: set[K] = set()  # those of them that were added as routine only
        self._order: list[tuple[float, int, K]] = []  # a heap of the same; replaced entries are skipped
        self._count = count()
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()
        self._closed = False

    def add(self, key: K, *, routine: bool = False) -> None:
        """Add `key`. `routine`: without an event."""
        if self._closed:
            return
        if key in self._working:
            self._again[key] = self._again.get(key, True) and routine
        elif not routine:
            self._news.setdefault(key, self._routine.pop(key, self._clock()))
        elif key not in self._news:
            self._routine.setdefault(key, self._clock())
        self._changed.set()

    def add_after(self, key: K, seconds: float, *, routine: bool = False) -> None:
        """Add `key` after a delay. The earliest of several calls counts; it is routine if all of them are."""
        if self._closed:
            return
        if not routine:
            self._due_as_routine.discard(key)
        elif key not in self._due:
            self._due_as_routine.add(key)
        due = self._clock() + max(seconds, 0.0)
        if due >= self._due.get(key, math.inf):
            return
        self._due[key] = due
        heapq.heappush(self._order, (due, next(self._count), key))
        if len(self._order) > 2 * len(self._due) + 100:  # mostly replaced entries
            self._order = [(due, next(self._count), key) for key, due in self._due.items()]
            heapq.heapify(self._order)
        self._changed.set()

    def retry(self, key: K, *, at_least: float = 0.0) -> float:
        """Count a failure and add `key` after a backoff of `at_least` seconds. Returns the delay in seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        delay = max(self._backoff.delay(self._failures[key], self._chance()), at_least)
        self.add_after(key, delay)
        return delay

    def failures(self, key: K) -> int:
        """Return how often in a row `key` has failed."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """Reset the failures of `key`: it succeeded, or is gone."""
        self._failures.pop(key, None)

    def take(self) -> K | None:
        """Return the next waiting key, if any. The caller must call `done` for it."""
        now = self._clock()
        while (due := self.next_due()) is not None and due <= now:
            key = heapq.heappop(self._order)[2]
            del self._due[key]
            self.add(key, routine=key in self._due_as_routine)
            self._due_as_routine.discard(key)
        if self._closed or not self.depth():
            return None
        turn = next(self._turns)
        line = self._routine if self._routine and (not self._news or turn % ROUTINE_TURN == 0) else self._news
        key = next(iter(line))
        del line[key]
        self._working[key] = self._handed_out = now
        return key

    def done(self, key: K) -> None:
        """Record that the work on a taken key has ended, with or without success."""
        self._working.pop(key, None)
        if key in self._again:
            self.add(key, routine=self._again.pop(key))

    def next_due(self) -> float | None:
        """Return when the next delayed key falls due, on the queue's clock."""
        while self._order and self._due.get(self._order[0][2]) != self._order[0][0]:
            heapq.heappop(self._order)
        return self._order[0][0] if self._order else None

    def depth(self) -> int:
        """Return how many keys wait."""
        return len(self._news) + len(self._routine)

    def oldest_seconds(self) -> float:
        """Return how long the oldest waiting key has waited; 0 if none waits."""
        since = (*self._news.values(), *self._routine.values())
        return max(0.0, self._clock() - min(since, default=self._clock()))

    def stalled_seconds(self) -> float:
        """Return how long keys have waited without one being handed out; 0 before the first."""
        return 0.0 if self._handed_out is None else min(self.oldest_seconds(), self._clock() - self._handed_out)

    def busiest_seconds(self) -> float:
        """Return how long the longest running reconcile has taken; 0 if none runs."""
        return max(0.0, self._clock() - min(self._working.values(), default=self._clock()))

    def idle(self) -> bool:
        """Return whether no key is waiting, delayed or in work."""
        return not (self._news or self._routine or self._working or self._due)

    async def get(self) -> K:
        """Wait for the next key. Raises QueueClosedError once the queue is closed."""
        while True:
            # No key can be added between clearing and waiting, because there is no await between them.
            self._changed.clear()
            if self._closed:
                raise QueueClosedError
            if (key := self.take()) is not None:
                return key
            due = self.next_due()
            timeout = None if due is None else max(due - self._clock(), 0.0)
            try:
                async with asyncio.timeout(timeout):  # not wait_for, which in Python 3.11 may swallow a cancellation
                    await self._changed.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """Hand out no more keys. Running work continues to its end."""
        self._closed = True
        self._changed.set()
