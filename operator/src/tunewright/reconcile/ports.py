"""The interfaces that the reconciler uses. kube/ and local/ implement them; the reconciler does not depend on which."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import Defaults, References
from tunewright_contract.progress import ProgressReport
from tunewright_runtime.objects import Key, Manifest


class World(Protocol):
    """The store of objects. Errors are those of `tunewright_runtime.errors`."""

    async def get(self, key: Key) -> Manifest | None:
        """Return the FineTuneJob as stored, or None when it is gone."""

    async def dereference(self, job: FineTuneJob) -> References:
        """Look up what the job names: claims, secrets, folders. What is not there is listed, not raised."""

    async def children(self, key: Key, uid: str) -> Sequence[Manifest]:
        """Return every object this job owns, at any depth: Jobs, their Pods, Deployments, Services, …"""

    async def apply(self, key: Key, uid: str, manifests: Sequence[Manifest]) -> bool:
        """Make the world hold these children (server-side apply, in this order) and prune owned ones not among them.

        Returns whether anything was written, so that what was read before is out of date.
        """

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        """Replace the job's status. A job that is gone, or is another one by now, is left alone."""


class ProgressBoard(Protocol):
    """The latest progress that pods have posted."""

    def latest(self, key: Key, uid: str) -> ProgressReport | None:
        """Return the last accepted report, if any."""


class Ports(NamedTuple):
    """All of the outside that one reconcile touches."""

    world: World
    progress: ProgressBoard
    clock: "Clock"
    defaults: Defaults


class Clock(Protocol):
    """The time, as an argument."""

    def __call__(self) -> datetime:
        """Return now, with a time zone (UTC)."""
