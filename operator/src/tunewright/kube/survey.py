"""Whether the cache holds all there is. Watches fill it; lists of bare versions tell whether they have, once before the first reconcile
and again and again after it, for a watch may die silently, and a deletion may fall between a list and its watch.

Promises: when a kind is known, the cache has everything that a list showed; what a watch fails to show is fetched; what is gone is dropped;
a kind that may not be read is named with the right that is lacking, until it may.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from tunewright.errors import Forbidden, Transient, TunewrightError
from tunewright.kube.cache import Cache, Key, Place
from tunewright.kube.client import Client
from tunewright.kube.kinds import FINE_TUNE_JOB, WATCHED
from tunewright.plan.label_names import JOB_UID

PATIENCE_SECONDS = 10.0  # without any progress of the watch; then what it lacks is fetched
_POLL_SECONDS = 0.1
_COMPARED_PER_SECOND = 10_000  # objects of a kind: 20,000 pods are not looked for ten times a second while they come in

log = logging.getLogger(__name__)


class Survey:
    """Looks after one cache. An empty list of `namespaces` means all of them; `wake` is told whose children or self has changed."""

    def __init__(self, client: Client, cache: Cache, *, namespaces: Sequence[str], wake: Callable[[Key], None]) -> None:
        self._client = client
        self._cache = cache
        self._namespaces = namespaces or ("",)
        self._wake = wake
        self._settled: set[str] = set()  # kinds that are known, or may not be
        self._all_settled = asyncio.Event()
        self._forbidden: set[str] = set()

    def settled(self) -> bool:
        """Say whether every kind has been looked at."""
        return self._all_settled.is_set()

    def unsettled(self) -> Sequence[str]:
        """Return the kinds that have not."""
        return [kind for kind in WATCHED if kind not in self._settled]

    async def until_settled(self) -> None:
        """Wait until every kind has been looked at."""
        await self._all_settled.wait()

    async def refuse_blindness(self) -> None:
        """Raise while a kind could not be read when it was looked at last: no decision can be made without it.

        Forbidden if that is so right now: it goes into statuses, and an outage that is over is no lack of a right. Transient otherwise.
        """
        for kind in list(self._forbidden):
            await self._ask(kind)
            raise Transient(f"{kind} can be read again, and is looked at soon")

    async def probe(self, kind: str) -> None:
        """Ask whether a kind may be read, without reading it. Raises what the client raises."""
        try:
            await self._ask(kind)
        except Forbidden as error:
            self._may_not(kind, error)
            raise
        self._may(kind)

    async def _ask(self, kind: str) -> None:
        for namespace in self._namespaces:
            await self._client.probe(kind, namespace, selector=_selector(kind))

    async def compare(self, kind: str, *, patience: float = PATIENCE_SECONDS) -> int:
        """Compare what is listed with what is known, and mend it. Returns how many objects the watch has failed to show.

        Raises what the client raises.
        """
        try:
            missed = await self._behind(await self._list(kind), patience)
        except Forbidden as error:
            self._may_not(kind, error)
            raise
        for place, version in missed.items():
            await self._fetch(place, version)
        self._settle(kind)
        self._may(kind)
        return len(missed)

    async def _list(self, kind: str) -> Mapping[Place, int]:
        listed: dict[Place, int] = {}
        for namespace in self._namespaces:
            found, version = await self._client.versions(kind, namespace, selector=_selector(kind))
            listed |= {Place(kind, *where): number for where, number in found.items()}
            del found
            unlisted = [(place, known) for place, known in self._cache.places(kind) if place not in listed]
            for place, known in unlisted:
                if namespace in ("", place.namespace) and known <= version:
                    self._drop(place, version)
        return listed

    async def _behind(self, behind: Mapping[Place, int], patience: float) -> Mapping[Place, int]:
        """Wait until the watch has shown what is listed, for as long as it gets on. Returns what it has not shown."""
        loop = asyncio.get_running_loop()
        behind = self._not_in_cache(behind)
        deadline = loop.time() + patience
        while behind and loop.time() < deadline:
            await asyncio.sleep(_POLL_SECONDS + len(behind) / _COMPARED_PER_SECOND)
            if len(left := self._not_in_cache(behind)) < len(behind):
                behind, deadline = left, loop.time() + patience
        return behind

    def _not_in_cache(self, listed: Mapping[Place, int]) -> Mapping[Place, int]:
        return {place: version for place, version in listed.items() if self._cache.version(place) < version}

    async def _fetch(self, place: Place, version: int) -> None:
        found = await self._client.get(place.kind, place.namespace, place.name)
        if found is None:
            self._drop(place, version)
        elif self._cache.put(found, place.kind):
            log.warning("the watch had not shown %s %s/%s", *place)
            key = (place.namespace, place.name) if place.kind == FINE_TUNE_JOB else self._cache.whose(found)
            if key is not None:
                self._wake(key)

    def _drop(self, place: Place, version: int) -> None:
        key = (place.namespace, place.name) if place.kind == FINE_TUNE_JOB else self._cache.at(place)
        if self._cache.remove(place, version) and key is not None:
            self._wake(key)

    def _settle(self, kind: str) -> None:
        self._settled.add(kind)
        if not self.unsettled():
            self._all_settled.set()

    def _may_not(self, kind: str, error: Forbidden) -> None:
        self._settle(kind)
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
        for key in self._cache.jobs():
            self._wake(key)


def _selector(kind: str) -> str:
    return "" if kind == FINE_TUNE_JOB else JOB_UID


class Lookout:
    """Keeps one kind surveyed, for ever. `tell` hears after each comparison how many objects the watch had failed to show."""

    def __init__(self, survey: Survey, kind: str, *, every: float, probe_every: float, tell: Callable[[str, int], None]) -> None:
        self._survey = survey
        self._kind = kind
        self._probes = max(round(every / probe_every), 1)
        self._pause = probe_every
        self._tell = tell

    async def run(self) -> None:
        """Compare; in between, ask whether the kind may still be read."""
        turn = 0
        retry = 1.0
        while True:
            try:
                if turn % self._probes == 0:
                    self._tell(self._kind, await self._survey.compare(self._kind))
                else:
                    await self._survey.probe(self._kind)
            except TunewrightError as error:
                log.warning("%s could not be listed; next try in %.0f s: %s", self._kind, retry, error)
                turn = 0
                await asyncio.sleep(retry)
                retry = min(retry * 2, self._pause)
            else:
                turn, retry = turn + 1, 1.0
                await asyncio.sleep(self._pause)
