"""What the watches show goes into the cache; what of it asks for work is answered with the job to look at.

Events come in any order, late and twice. Our own writes are in the cache before their events come, and so ask for nothing.
"""

from collections.abc import Mapping
from typing import Any

from tunewright.kube.cache import Cache, Place
from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.reconcile.ports import Key

SILENT = frozenset({"ReplicaSet"})  # kept to tell whose the pods are; they tell nothing that their Deployment and pods do not
_HEARD = ("generation", "deletionTimestamp", "labels", "annotations")


class Keys:
    """Between the watches and the queue."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def of_job(self, event: str | None, job: Mapping[str, Any]) -> Key | None:
        """Take an event (ADDED, MODIFIED, DELETED, or None for a listing) and return the key if there is something to do.

        A changed status is our own doing and asks for nothing.
        """
        meta = job["metadata"]
        key = Key(str(meta["namespace"]), str(meta["name"]))
        before = self._cache.job(key)
        if event == "DELETED":
            return key if self._cache.remove(Place(FINE_TUNE_JOB, *key), int(meta["resourceVersion"])) else None
        if not self._cache.put(job, FINE_TUNE_JOB):
            return None
        return key if before is None or self._heard(before) != self._heard(self._cache.job(key)) else None

    def of_child(self, kind: str, event: str | None, child: Mapping[str, Any]) -> Key | None:
        """Return the key of a child's job if something has changed. One of a job not seen yet has none: the job's own event comes."""
        meta = child["metadata"]
        if event == "DELETED":
            news = self._cache.remove(Place(kind, str(meta["namespace"]), str(meta["name"])), int(meta["resourceVersion"]))
        else:
            news = self._cache.put(child, kind)
        key = self._cache.whose(child) if news and kind not in SILENT else None
        return None if key is None else Key(*key)

    def _heard(self, job: Mapping[str, Any] | None) -> tuple[Any, ...]:
        meta = job["metadata"] if job else {}
        return (meta.get("uid"), *(meta.get(field) for field in _HEARD))
