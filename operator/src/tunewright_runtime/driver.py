"""Runs a reconcile function over a keyed queue: number of workers, time of the next run, and reaction to errors.

`errors.py` defines the reactions, and this module performs them. The reconcile function itself reports Invalid and Rejected in the object's
status, so if one of them arrives here, it is handled as a defect.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, NamedTuple, TypeVar

from tunewright_runtime.errors import Conflict, Gone, Transient
from tunewright_runtime.queue import Queue, QueueClosedError

K = TypeVar("K", bound=Hashable)
CONFLICTS_IN_A_ROW = 5  # immediate retries; after that another writer reverts the changes, and a backoff slows both

log = logging.getLogger(__name__)


class ReconcileResult(NamedTuple):
    """The result of a successful reconcile."""

    requeue_after: float | None = None  # seconds; None: until the next event


class Driver(Generic[K]):
    """Bounded concurrency over one queue."""

    def __init__(self, queue: Queue[K], reconcile: Callable[[K], Awaitable[ReconcileResult]], *, workers: int = 8) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._workers = workers
        self._conflicts: dict[K, int] = {}

    async def run(self) -> None:
        """Work until the queue is closed. Cancelling ends the work in progress at its next await."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueClosedError:
                return
            try:
                await self.once(key)
            finally:
                self._queue.done(key)

    async def once(self, key: K) -> None:
        """Reconcile one key and decide when it runs again. Raises nothing."""
        try:
            result = await self._reconcile(key)
        except Gone:
            self._forget(key)
        except Conflict as error:
            self._on_conflict(key, error)
        except Transient as error:
            self._on_transient(key, error)
        except Exception:  # a bug must not end the work on other keys
            delay = self._queue.retry(key)
            log.exception("reconciling %s failed unexpectedly %d times; next try in %.1f s", key, self._queue.failures(key), delay)
        else:
            self._forget(key)
            if result.requeue_after is not None:
                self._queue.add_after(key, result.requeue_after, routine=True)

    def _forget(self, key: K) -> None:
        self._queue.forget(key)
        self._conflicts.pop(key, None)

    def _on_conflict(self, key: K, error: Conflict) -> None:
        self._conflicts[key] = self._conflicts.get(key, 0) + 1
        if self._conflicts[key] <= CONFLICTS_IN_A_ROW:
            self._queue.add(key)
            return
        delay = self._queue.retry(key)
        log.warning("%s: %s; %d conflicts in a row, next try in %.1f s", key, error, self._conflicts[key], delay)

    def _on_transient(self, key: K, error: Transient) -> None:
        delay = self._queue.retry(key, at_least=error.retry_after or 0.0)
        log.warning("%s: %s; next try in %.1f s", key, error, delay)
