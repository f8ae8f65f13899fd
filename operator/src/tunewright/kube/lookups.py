"""What a job names, asked for once: answers count for half an hour, so that a reconcile of a job at rest asks for nothing.

Only what is there and well is remembered, and only for the job that asked: what is missing is looked for each time, and a new job never
gets another's answer. Of data only the keys are kept: Secrets are none of our business, and ConfigMaps may be large.
"""

import json
from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

from tunewright.kube.client import Client, Object

REMEMBER_SECONDS = 1800.0
UNBOUND_SECONDS = 60.0  # a claim without a volume may get one that can do less
REMEMBER_AT_MOST = 20_000  # jobs


class Lookups:
    """Answers for all jobs. `clock` gives seconds."""

    def __init__(self, client: Client, *, clock: Callable[[], float]) -> None:
        self.client = client
        self.clock = clock
        self._jobs: dict[str, JobLookups] = {}

    def of(self, uid: str) -> "JobLookups":
        """Return those of one job."""
        job = self._jobs.pop(uid, None) or JobLookups(self)
        self._jobs[uid] = job
        if len(self._jobs) > REMEMBER_AT_MOST:
            del self._jobs[next(iter(self._jobs))]  # the one that has not asked for longest
        return job

    def forget(self, uid: str) -> None:
        """Ask anew for all that a job names: something about it was wrong."""
        self._jobs.pop(uid, None)


class JobLookups:
    """Has a client's `get`."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._known: dict[tuple[str, ...], tuple[float, str]] = {}  # until when, and what was found, as JSON

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """Return as much of an object as is remembered, or None. Raises what the client raises."""
        key, now = (kind, namespace, intern(name)), self._lookups.clock()
        until, known = self._known.get(key, (0.0, ""))
        if now < until:
            remembered: Object = json.loads(known)
            return remembered
        found = await self._lookups.client.get(kind, namespace, name)
        self._known.pop(key, None)
        if found is not None and _is_well(found):
            unbound = found.get("status", {}).get("phase") == "Pending"
            # Thousands of jobs name the same: that is kept once.
            self._known[key] = now + (UNBOUND_SECONDS if unbound else REMEMBER_SECONDS), intern(json.dumps(_essence(found)))
        return found


def _is_well(found: Mapping[str, Any]) -> bool:
    return not found["metadata"].get("deletionTimestamp") and found.get("status", {}).get("phase") != "Lost"


def _essence(found: Mapping[str, Any]) -> Object:
    keys = {part: dict.fromkeys(found[part], "") for part in ("data", "binaryData") if found.get(part)}
    modes = {part: {"accessModes": found[part]["accessModes"]} for part in ("spec", "status") if found.get(part, {}).get("accessModes")}
    return {"metadata": {"name": found["metadata"]["name"]}, **keys, **modes}
