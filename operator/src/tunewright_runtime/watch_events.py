"""Puts watch events into the cache, and returns the key to reconcile, if any.

Events can be late, repeated, and in any order. The operator's own writes are in the cache before their events, so those trigger nothing.
"""

from typing import Any

from tunewright_runtime.cache import Cache
from tunewright_runtime.objects import Key, Manifest, ref_of

SILENT = frozenset({"ReplicaSet"})  # cached to find the owner of its pods; its Deployment and pods have every other news
_COMPARED = ("generation", "deletionTimestamp", "labels", "annotations")


class EventHandler:
    """Maps watch events to keys, as controller-runtime's EventHandler does."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    def on_primary(self, event: str | None, item: Manifest) -> Key | None:
        """Take an event (ADDED, MODIFIED, DELETED, or None for a listing) and return the key if there is something to do.

        A changed status is our own doing and asks for nothing.
        """
        ref = ref_of(item, self._cache.scheme.primary)
        before = self._cache.get(ref)
        if event == "DELETED":
            return ref.key if self._cache.remove(ref, int(item["metadata"]["resourceVersion"])) else None
        if not self._cache.put(item, ref.kind):
            return None
        return ref.key if before is None or _compared(before) != _compared(self._cache.get(ref)) else None

    def on_child(self, kind: str, event: str | None, child: Manifest) -> Key | None:
        """Return the key of a child's owner if something has changed. An owner not seen yet has none: its own event comes."""
        ref, version = ref_of(child, kind), int(child["metadata"]["resourceVersion"])
        news = self._cache.remove(ref, version) if event == "DELETED" else self._cache.put(child, kind)
        return self._cache.owner_of(child) if news and kind not in SILENT else None


def _compared(item: Manifest | None) -> tuple[Any, ...]:
    meta = item["metadata"] if item else {}
    return (meta.get("uid"), *(meta.get(field) for field in _COMPARED))
