"""Runs a pure step of a reconcile again only when an argument has changed.

Admission, planning and rendering give equal results for equal arguments. Most reconciles of a running job change none of them: a pod was
created, a progress report arrived. The steps of a job are dropped when it rests, so that idle jobs take no memory.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

JOBS = 256  # whose steps are remembered; beyond that the job that was reconciled least recently loses them


class Steps:
    """The last arguments and results of the steps of one job."""

    def __init__(self) -> None:
        self._last: dict[Callable[..., Any], tuple[Any, Any]] = {}

    def __call__(self, step: Callable[P, R], *args: P.args, **options: P.kwargs) -> R:
        """Return the result of a pure function. Callers share it, and do not modify it. An exception is not remembered."""
        given = (args, options)
        known = self._last.get(step)
        if known is None or known[0] != given:
            known = self._last[step] = given, step(*args, **options)
        result: R = known[1]
        return result


class StepsOfJobs:
    """The steps of the jobs that were reconciled most recently."""

    def __init__(self, *, jobs: int = JOBS) -> None:
        self._most = jobs
        self._known: dict[str, Steps] = {}  # by uid, the latest at the end

    def of(self, uid: str) -> Steps:
        """Return the steps of one job."""
        steps = self._known.pop(uid) if uid in self._known else Steps()
        self._known[uid] = steps
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return steps

    def forget(self, uid: str) -> None:
        """Drop the steps of a job."""
        self._known.pop(uid, None)
