"""The interfaces that the reconciler uses. kube/ and local/ implement them; the reconciler does not depend on which."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import Defaults, References
from tunewright.reconcile.pace import Pace
from tunewright.reconcile.steps import StepsOfJobs
from tunewright_contract.progress import ProgressReport
from tunewright_runtime.objects import Key, Manifest


class World(Protocol):
    """The store of objects. Errors are those of `tunewright_runtime.errors`."""

    async def get(self, key: Key) -> Manifest | None:
        """Return the FineTuneJob as stored, or None if it does not exist."""

    async def dereference(self, job: FineTuneJob) -> References:
        """Look up what the job names: claims, secrets, folders. Missing ones are listed, not raised."""

    async def children(self, key: Key, uid: str) -> Sequence[Manifest]:
        """Return every object this job owns, at any depth: Jobs, their Pods, Deployments, Services, …"""

    async def apply(self, key: Key, uid: str, manifests: Sequence[Manifest]) -> bool:
        """Apply these children (server-side apply, in this order) and prune all other owned ones.

        Returns whether anything was written; then objects that were read before are out of date.
        """

    def altered(self, manifests: Sequence[Manifest]) -> Sequence[str]:
        """Return a message for each applied child that is stored differently from what was written, because a policy changed it."""

    @property
    def tries_pods(self) -> bool:
        """Whether `refusals` asks about pods."""

    async def refusals(self, pods: Sequence[Manifest]) -> Sequence[str]:
        """Return why each of these pods would not be admitted; empty for one that would, or that is not tried. Nothing is created."""

    async def warn(self, key: Key, uid: str, reason: str, message: str) -> None:
        """Report something that has happened to a job once, and that no status shows. Does nothing if the job is gone."""

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        """Replace the job's status. Does nothing if the job is gone, or if another job has its name now."""


class ProgressBoard(Protocol):
    """The latest progress that pods have posted."""

    def latest(self, key: Key, uid: str) -> ProgressReport | None:
        """Return the last accepted report, if any."""


def never_failed(_: Key) -> int:
    """Count no failures."""
    return 0


class Ports(NamedTuple):
    """All interfaces that one reconcile uses."""

    world: World
    progress: ProgressBoard
    clock: "Clock"
    defaults: Defaults
    steps: StepsOfJobs
    pace: Pace
    failures: Callable[[Key], int] = never_failed
    """How often in a row a job's reconcile has failed, before the present one."""


class Clock(Protocol):
    """The time, as an argument."""

    def __call__(self) -> datetime:
        """Return now, with a time zone (UTC)."""
