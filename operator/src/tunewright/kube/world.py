"""The World port on a cluster (see reconcile/ports.py). It reads from a cache that watches fill and our own answers are put into at once;
a reconcile that finds everything as it should be asks the API server for nothing.

What is written carries what it was decided from: no object is made where one stands, none changed or deleted but the very one that was
read, no status put over a newer one. Where the cache was behind, the API server says so (Conflict); then the object is fetched, and the
next try knows it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.errors import Conflict, Gone
from tunewright.kube.apply import Action, carry_out, decide, make
from tunewright.kube.cache import Cache, Place
from tunewright.kube.client import Client
from tunewright.kube.events import event_for, is_news, tell
from tunewright.kube.hindrances import warnings_about
from tunewright.kube.kinds import FINE_TUNE_JOB, RENDERED
from tunewright.kube.lookups import Lookups
from tunewright.kube.ownership import descendants, is_retained, refuse_others
from tunewright.kube.prune import doomed
from tunewright.kube.references import look_up
from tunewright.kube.tokens import Tokens
from tunewright.observe.published import read_published
from tunewright.plan.inputs import Missing, References
from tunewright.plan.rollout import PublishedModel

PROGRESS_PATH = "/apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"

Manifest = Mapping[str, Any]
Key = tuple[str, str]  # namespace, name; reconcile.ports.Key is one


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


async def _complete() -> None:
    """Nothing is hidden."""


class KubeWorld:
    """Objects of a cluster. `progress_url` is this operator's address for pods (scheme and host); empty: pods report nothing.

    `complete` raises when the cache cannot be trusted to hold everything.
    """

    def __init__(
        self,
        client: Client,
        cache: Cache,
        *,
        progress_url: str,
        tokens: Tokens,
        complete: Callable[[], Awaitable[None]] = _complete,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._client = client
        self._cache = cache
        self._lookups = Lookups(client, clock=lambda: clock().timestamp())
        self._progress_url = progress_url.rstrip("/")
        self._tokens = tokens
        self._complete = complete
        self._clock = clock

    async def get(self, key: Key) -> Manifest | None:
        """Return the FineTuneJob as stored, or None."""
        return self._cache.job(key)

    async def dereference(self, job: FineTuneJob) -> References:
        """Look up the claims, ConfigMaps, Secrets and the service account that a job names."""
        place = PROGRESS_PATH.format(namespace=job.metadata.namespace, name=job.metadata.name)
        url = f"{self._progress_url}{place}" if self._progress_url else ""
        uid = job.metadata.uid
        found = await look_up(self._lookups.of(uid), job, self._served(job))
        if found.missing or isinstance(found.served, Missing):
            self._lookups.forget(uid)
        return References(missing=found.missing, claims=found.claims, progress_url=url, served=found.served)

    async def children(self, key: Key, uid: str) -> Sequence[Manifest]:
        """Return what the job owns, at any depth, what is to outlive it, and warnings about what stands still.

        Raises Forbidden when a kind is hidden.
        """
        await self._complete()
        known = self._cache.children(uid)
        owned = descendants(known, uid)
        return [*owned, *filter(is_retained, known), *await warnings_about(self._client, key[0], owned, self._clock())]

    async def apply(self, key: Key, uid: str, manifests: Sequence[Manifest]) -> bool:
        """Make the cluster hold these children, in this order, and prune owned ones not among them. Returns whether anything was written.

        What already is as rendered is not written. Raises Gone when the job is another by now, Conflict and Rejected when somebody else's
        object stands in the way.
        """
        job = self._cache.job(key)
        if job is None or job["metadata"]["uid"] != uid or job["metadata"].get("deletionTimestamp"):
            raise Gone(f"FineTuneJob {key[0]}/{key[1]} is gone, or another one by now")
        live = {
            Place(item["kind"], key[0], item["metadata"]["name"]): item for item in self._cache.children(uid) if item["kind"] in RENDERED
        }
        wrote = False
        for manifest in manifests:
            place = Place(manifest["kind"], key[0], manifest["metadata"]["name"])
            # Under a child's name there may be a predecessor's, which bears another uid.
            wrote |= await self._apply_one(key, uid, manifest, place, live.get(place) or self._cache.get(place))
        for item in doomed(live.values(), manifests, uid=uid):
            meta, place = item["metadata"], Place(item["kind"], key[0], item["metadata"]["name"])
            await self._client.delete(*place, uid=meta["uid"])
            self._cache.remove(place, int(meta["resourceVersion"]))
            wrote = True
        return wrote

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        """Replace the job's status, and tell of a new state in an Event. A job that is gone, or another one by now, is left alone."""
        job = self._cache.job(key)
        if job is None or job["metadata"]["uid"] != uid:
            return
        before = job.get("status") or {}
        # What differs is only right for what it was compared with.
        precondition = {"uid": uid, "resourceVersion": job["metadata"]["resourceVersion"]}
        try:
            patch = {"metadata": precondition, "status": merge_patch(before, status)}
            self._cache.put(await self._client.merge(FINE_TUNE_JOB, *key, patch, subresource="status"), FINE_TUNE_JOB)
        except (Conflict, Gone):
            now = await self._fetch(Place(FINE_TUNE_JOB, *key), int(job["metadata"]["resourceVersion"]))
            if now is not None and now["metadata"]["uid"] == uid:
                raise
            return
        if is_news(before, status):
            await tell(self._client, event_for(job, status, self._clock()))

    async def authenticate(self, key: Key, token: str) -> str | None:
        """Return the job's uid if `token` is that of one of its pods. Raises Gone when there is no such job."""
        return await self._tokens.owner(*key, token)

    def _served(self, job: FineTuneJob) -> PublishedModel | Missing | None:
        name = job.served_job()
        if name is None:
            return None
        raw = self._cache.job((job.metadata.namespace, name))
        uid = raw["metadata"]["uid"] if raw else ""
        return read_published(name, raw, descendants(self._cache.children(uid), uid))

    async def _apply_one(self, key: Key, uid: str, manifest: Manifest, place: Place, there: Manifest | None) -> bool:
        unknown = there is None
        if there is None:
            try:
                self._cache.put(await make(self._client, manifest))
            except Conflict:
                # What does not bear our labels may stand there: a stranger's, or a child whose labels were taken off.
                there = await self._fetch(place, 0)
                if there is None:
                    raise
            else:
                return True
        wrote = await self._mend(key, uid, manifest, place, there)
        if unknown:  # the plan was made without it: a check that was taken for missing would have the gang pruned
            raise Conflict(f"{place.kind} {place.namespace}/{place.name} was there, but not known")
        return wrote

    async def _mend(self, key: Key, uid: str, manifest: Manifest, place: Place, there: Manifest) -> bool:
        refuse_others(there, uid=uid, job=key[1])
        action = decide(manifest, there)
        if action is Action.KEEP:
            return False
        try:
            stored = await carry_out(action, self._client, manifest, there)
        except Conflict:
            await self._fetch(place, int(there["metadata"]["resourceVersion"]))
            raise
        if stored is not None:
            self._cache.put(stored)
        return True

    async def _fetch(self, place: Place, version: int) -> Manifest | None:
        """Ask what stands there now. `version` is that of what was believed to."""
        found = await self._client.get(*place)
        if found is None:
            self._cache.remove(place, version)
        else:
            self._cache.put(found, place.kind)
        return found


def merge_patch(before: Any, after: Any) -> Any:
    """Return what turns one JSON value into another by RFC 7386: only what differs, and null for what is not there any more."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    changed = {name: merge_patch(before.get(name), value) for name, value in after.items() if name not in before or before[name] != value}
    return changed | dict.fromkeys(before.keys() - after.keys())
