"""The writes that fail now, for /readyz and the log: a job's status cannot report that status itself cannot be written."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from tunewright_runtime.errors import NotWritten
from tunewright_runtime.objects import Key

SHOWN = 5  # jobs in /readyz; the rest is a number

log = logging.getLogger(__name__)


class _Failing(NamedTuple):
    since: float
    tries: int
    error: NotWritten


class WriteHealth:
    """Jobs whose last reconcile ended with a failed write. `clock` is monotonic, in seconds."""

    def __init__(self, *, primary: str, clock: Callable[[], float]) -> None:
        self._primary = primary
        self._clock = clock
        self._failing: dict[Key, _Failing] = {}  # the longest failing first

    def failed(self, key: Key, error: NotWritten) -> None:
        """Record a failed write of a job."""
        before = self._failing.get(key)
        self._failing[key] = _Failing(before.since if before else self._clock(), before.tries + 1 if before else 1, error)

    def succeeded(self, key: Key) -> None:
        """Record that all of a job is written, or that it is gone."""
        if (before := self._failing.pop(key, None)) and before.tries > 1:
            log.info("%s/%s is written again, after %d failures in %.0f s", *key, before.tries, self._clock() - before.since)

    def notes(self) -> list[str]:
        """Return what fails, a line each. Statuses come first, because nothing else reports them."""
        ordered = sorted(self._failing.items(), key=lambda entry: entry[1].error.kind != self._primary)
        lines = [self._line(key, failing) for key, failing in ordered[:SHOWN]]
        return [*lines, f"{len(ordered) - SHOWN} more jobs have failed writes"] if len(ordered) > SHOWN else lines

    def _line(self, key: Key, failing: _Failing) -> str:
        what = "the status" if failing.error.kind == self._primary else f"an object ({failing.error.kind})"
        tries = f"{failing.tries} tries in {self._clock() - failing.since:.0f} s"
        return f"{what} of {key.namespace}/{key.name} is not written ({failing.error.reason}, {tries}): {failing.error}"
