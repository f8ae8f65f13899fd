"""When a changed status is written: news at once, a routine change of a job a little later, together with those that follow it.

A stage's Job waits for its pods for some seconds. Without the pause, each stage would cost two writes of the status: waits, runs.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from tunewright.status.news import can_wait, is_within_a_stage
from tunewright_runtime.objects import Key


class Pace:
    """The jobs with a change that waits.

    `seconds`: how long a change waits at most; `within_a_stage`: the same of one that shows neither another stage nor another step.
    `clock` is monotonic.
    """

    def __init__(self, *, seconds: float = 0.0, within_a_stage: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._within_a_stage = within_a_stage
        self._clock = clock
        self._due: dict[Key, float] = {}  # when a job's status is written

    def pause(self, key: Key, before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
        """Return the seconds until a job's status is written; 0: now."""
        if not can_wait(before, after):
            return 0.0
        now = self._clock()
        due = now + (self._within_a_stage if is_within_a_stage(before, after) else self._seconds)
        self._due[key] = due = min(due, self._due.get(key, due))
        return max(due - now, 0.0)

    def forget(self, key: Key) -> None:
        """Record that nothing of a job waits: its status is written, or as it was, or the job is gone."""
        self._due.pop(key, None)
