"""Checks that the cache is complete. Watches fill it; lists of versions verify it, before the first reconcile and regularly afterwards. A
watch can end without an error, and a deletion can fall between a list and its watch.

Promises: if a kind is synced, the cache has every object of the list. Objects that a watch did not show are fetched, and objects that are
gone are dropped. A kind that cannot be read is reported with the missing right until it can be read.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tunewright_runtime.cache import Cache
from tunewright_runtime.client import Client
from tunewright_runtime.errors import Forbidden, Transient, TunewrightError
from tunewright_runtime.objects import Key, Manifest, ObjectRef, ref_of

PATIENCE_SECONDS = 10.0  # without progress of the watch; then the missing objects are fetched
_POLL_SECONDS = 0.1
_COMPARED_PER_SECOND = 10_000  # objects of a kind: 20,000 pods are not compared ten times a second while they arrive

log = logging.getLogger(__name__)

SILENT = frozenset({"ReplicaSet"})  # cached to find the owner of its pods; all other changes show in its Deployment and pods
_COMPARED = ("generation", "deletionTimestamp", "labels", "annotations")


class CacheSync:
    """Checks one cache. An empty list of `namespaces` means all of them; `wake` is called with each key whose objects have changed.

    With `read_cluster`, one list of the cluster replaces a list of each namespace.
    """

    def __init__(
        self, client: Client, cache: Cache, *, namespaces: Sequence[str], wake: Callable[[Key], None], read_cluster: bool = False
    ) -> None:
        self._client = client
        self._cache = cache
        self._watched = frozenset(namespaces)
        self._lists = ("",) if read_cluster or not namespaces else tuple(namespaces)
        self._wake = wake
        self._scheme = cache.scheme
        self._synced: set[str] = set()  # kinds that were compared, or cannot be read
        self._all_synced = asyncio.Event()
        self._forbidden: set[str] = set()

    def has_synced(self) -> bool:
        """Return whether every kind has been compared once."""
        return self._all_synced.is_set()

    def unsynced(self) -> Sequence[str]:
        """Return the kinds that have not been compared."""
        return [kind for kind in self._scheme.watched if kind not in self._synced]

    async def wait_for_sync(self) -> None:
        """Wait until every kind has been compared once."""
        await self._all_synced.wait()

    async def require_readable(self) -> None:
        """Raise while a kind could not be read at the last comparison: no decision can be made without it.

        Forbidden if it cannot be read now, to report it in statuses. Transient if the right was granted meanwhile.
        """
        for kind in list(self._forbidden):
            await self._list_one(kind)
            raise Transient(f"{kind} can be read again, and is compared soon")

    async def probe(self, kind: str) -> None:
        """Check whether a kind may be read, without reading all of it. Raises the client's errors."""
        try:
            await self._list_one(kind)
        except Forbidden as error:
            self._may_not(kind, error)
            raise
        self._may(kind)

    async def _list_one(self, kind: str) -> None:
        for namespace in self._lists:
            await self._client.probe(kind, namespace, selector=self._scheme.selector(kind))

    async def compare(self, kind: str, *, patience: float = PATIENCE_SECONDS) -> int:
        """Compare a list with the cache, and correct the cache. Returns the number of objects that the watch has not shown.

        Raises the client's errors.
        """
        try:
            missed = await self._behind(await self._list(kind), patience)
        except Forbidden as error:
            self._may_not(kind, error)
            raise
        for ref, version in missed.items():
            await self._fetch(ref, version)
        self._mark_synced(kind)
        self._may(kind)
        return len(missed)

    async def _list(self, kind: str) -> Mapping[ObjectRef, int]:
        listed: dict[ObjectRef, int] = {}
        for namespace in self._lists:
            found, version = await self._client.versions(kind, namespace, selector=self._scheme.selector(kind))
            listed |= {ObjectRef(kind, *where): number for where, number in found.items() if _is_watched(self._watched, where[0])}
            del found
            unlisted = [(ref, known) for ref, known in self._cache.versions(kind) if ref not in listed]
            for ref, known in unlisted:
                if namespace in ("", ref.namespace) and known <= version:
                    self._drop(ref, version)
        return listed

    async def _behind(self, behind: Mapping[ObjectRef, int], patience: float) -> Mapping[ObjectRef, int]:
        """Wait until the watch has shown the listed objects, as long as it makes progress. Returns those that it has not shown."""
        loop = asyncio.get_running_loop()
        behind = self._not_in_cache(behind)
        deadline = loop.time() + patience
        while behind and loop.time() < deadline:
            await asyncio.sleep(_POLL_SECONDS + len(behind) / _COMPARED_PER_SECOND)
            if len(left := self._not_in_cache(behind)) < len(behind):
                behind, deadline = left, loop.time() + patience
        return behind

    def _not_in_cache(self, listed: Mapping[ObjectRef, int]) -> Mapping[ObjectRef, int]:
        return {ref: version for ref, version in listed.items() if self._cache.version(ref) < version}

    async def _fetch(self, ref: ObjectRef, version: int) -> None:
        found = await self._client.get(ref.kind, ref.namespace, ref.name)
        if found is None:
            self._drop(ref, version)
        elif self._cache.put(found, ref.kind):
            log.warning("the watch had not shown %s", ref)
            key = ref.key if ref.kind == self._scheme.primary else self._cache.owner_of(found)
            if key is not None:
                self._wake(key)

    def _drop(self, ref: ObjectRef, version: int) -> None:
        key = self._cache.owner_at(ref)
        if self._cache.remove(ref, version) and key is not None:
            self._wake(key)

    def _mark_synced(self, kind: str) -> None:
        self._synced.add(kind)
        if not self.unsynced():
            self._all_synced.set()

    def _may_not(self, kind: str, error: Forbidden) -> None:
        self._mark_synced(kind)
        if kind not in self._forbidden:
            log.error("%s cannot be read: %s", kind, error)
            self._forbidden.add(kind)
            self._wake_all()

    def _may(self, kind: str) -> None:
        if kind in self._forbidden:
            self._forbidden.remove(kind)
            log.info("%s can be read again", kind)
            self._wake_all()

    def _wake_all(self) -> None:
        for key in self._cache.primary_keys():
            self._wake(key)


class SyncLoop:
    """Compares one kind every `every` seconds. `report` is called with the number of objects that the watch had not shown."""

    def __init__(self, sync: CacheSync, kind: str, *, every: float, probe_every: float, report: Callable[[str, int], None]) -> None:
        self._sync = sync
        self._kind = kind
        self._probes = max(round(every / probe_every), 1)
        self._pause = probe_every
        self._report = report

    async def run(self) -> None:
        """Compare in an endless loop, and check in between whether the kind may still be read."""
        turn = 0
        retry = 1.0
        while True:
            try:
                if turn % self._probes == 0:
                    self._report(self._kind, await self._sync.compare(self._kind))
                else:
                    await self._sync.probe(self._kind)
            except TunewrightError as error:
                log.warning("%s could not be listed; next try in %.0f s: %s", self._kind, retry, error)
                turn = 0
                await asyncio.sleep(retry)
                retry = min(retry * 2, self._pause)
            else:
                turn, retry = turn + 1, 1.0
                await asyncio.sleep(self._pause)


class EventHandler:
    """Maps watch events to keys, as controller-runtime's EventHandler does. Ignores objects outside `namespaces`; empty: there are none."""

    def __init__(self, cache: Cache, *, namespaces: Sequence[str] = ()) -> None:
        self._cache = cache
        self._watched = frozenset(namespaces)

    def on_primary(self, event: str | None, item: Manifest) -> Key | None:
        """Take an event (ADDED, MODIFIED, DELETED, or None for a listing) and return the key if there is something to do.

        A changed status is the operator's own write and needs no reconcile.
        """
        ref = ref_of(item, self._cache.scheme.primary)
        if not _is_watched(self._watched, ref.namespace):
            return None
        before = self._cache.get(ref)
        if event == "DELETED":
            return ref.key if self._cache.remove(ref, int(item["metadata"]["resourceVersion"])) else None
        if not self._cache.put(item, ref.kind):
            return None
        return ref.key if before is None or _compared(before) != _compared(self._cache.get(ref)) else None

    def on_child(self, kind: str, event: str | None, child: Manifest) -> Key | None:
        """Return the key of a child's owner if something has changed; None for an owner that is not cached yet, whose own event follows."""
        ref, version = ref_of(child, kind), int(child["metadata"]["resourceVersion"])
        if not _is_watched(self._watched, ref.namespace):
            return None
        news = self._cache.remove(ref, version) if event == "DELETED" else self._cache.put(child, kind)
        return self._cache.owner_of(child) if news and kind not in SILENT else None


def _is_watched(namespaces: frozenset[str], namespace: str) -> bool:
    return not namespaces or namespace in namespaces


def _compared(item: Manifest | None) -> tuple[Any, ...]:
    meta = item["metadata"] if item else {}
    return (meta.get("uid"), *(meta.get(field) for field in _COMPARED))
