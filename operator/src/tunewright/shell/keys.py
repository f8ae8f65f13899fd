"""What the watches have shown: which FineTuneJobs there are, and whose child an object is. Small values, never bodies.

Events are taken from any thread of control in any order; every one of them is answered with the key to look at, or with none.
"""

from collections.abc import Mapping
from typing import Any

from tunewright.plan.label_names import JOB_UID
from tunewright.reconcile.ports import Key


class Keys:
    """The jobs known so far."""

    def __init__(self) -> None:
        self._by_uid: dict[str, Key] = {}
        self._seen: dict[str, tuple[Any, ...]] = {}  # uid -> what of a job, when changed, asks for work

    def known(self) -> Mapping[str, Key]:
        """Return every job by uid."""
        return dict(self._by_uid)

    def of_job(self, kind: str | None, job: Mapping[str, Any]) -> Key | None:
        """Take an event (ADDED, MODIFIED, DELETED, or None for the first listing) and return the key if there is something to do.

        A changed status is our own doing and asks for nothing.
        """
        meta = job["metadata"]
        uid, key = str(meta["uid"]), Key(str(meta["namespace"]), str(meta["name"]))
        if kind == "DELETED":
            self._by_uid.pop(uid, None)
            self._seen.pop(uid, None)
            return key
        seen = (meta.get("generation"), meta.get("deletionTimestamp"))
        news = kind != "MODIFIED" or self._seen.get(uid) != seen
        self._by_uid[uid], self._seen[uid] = key, seen
        return key if news else None

    def of_child(self, child: Mapping[str, Any]) -> Key | None:
        """Return the key of a child's job. One of a job not seen yet, or not any more, has none: the job's own event comes."""
        return self._by_uid.get(str((child["metadata"].get("labels") or {}).get(JOB_UID, "")))
