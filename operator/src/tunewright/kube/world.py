"""The World port on a cluster (see reconcile/ports.py). It reads a cache, which watches and the responses to its own writes fill.
A reconcile that finds every object as rendered sends no request.

Each write carries the version that it was decided from. It never creates over an existing object, changes or deletes another object than
the one read, or overwrites a newer status. If the cache was stale, the API server answers Conflict; the operator then fetches the object
for the next try.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.kube.events import event_for, warning_for, warnings_about, warnings_for
from tunewright.kube.kinds import FINE_TUNE_JOB, RENDERED, RESOURCES
from tunewright.kube.ownership import is_orphan, is_retained, refuse_others, refuse_running
from tunewright.kube.references import look_up
from tunewright.observe.observation import read_published
from tunewright.observe.other_controllers import is_held, suspenders
from tunewright.observe.volumes import mounted_config_maps
from tunewright.plan.inputs import Missing, References
from tunewright.plan.label_names import DISRUPTED, ENDED
from tunewright.plan.names import label_value, names_of
from tunewright.plan.rollout import PublishedModel
from tunewright.status.news import is_news
from tunewright_runtime.apply import ChildWriter, has_ended
from tunewright_runtime.cache import Cache
from tunewright_runtime.client import Client
from tunewright_runtime.differences import merge_patch
from tunewright_runtime.errors import Conflict, Gone
from tunewright_runtime.events import post
from tunewright_runtime.lookups import Lookups, Trials
from tunewright_runtime.objects import Key, Manifest, ObjectRef, descendants, ref_of, to_prune
from tunewright_runtime.tokens import Tokens

PROGRESS_PATH = "/apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


def audience(key: Key) -> str:
    """Return the audience of a job's progress tokens: its status and nothing else (see `render.volumes.progress_audience`)."""
    return f"{RESOURCES[FINE_TUNE_JOB].api_version}/namespaces/{key.namespace}/finetunejobs/{key.name}/status"


def may_suspend(job: Manifest) -> bool:
    """Return whether this operator may change `spec.suspend` of a Job that exists: not when Kueue decides when it starts.

    A Job that is suspended under no field manager's name was suspended by a webhook when it was made (Kueue's, with
    `manageJobsWithoutQueueName`), which also starts it.
    """
    return not is_held(job) and (not job["spec"].get("suspend") or bool(suspenders(job)))


async def _complete() -> None:
    """Nothing is hidden."""


class KubeWorld:
    """Objects of a cluster. `progress_url` is this operator's address for pods (scheme and host); empty: pods report nothing.

    `complete` raises when the cache may lack objects.
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
        trials: Trials | None = None,
    ) -> None:
        self._client = client
        self._trials = trials
        self._cache = cache
        self._writer = ChildWriter(client, cache, may_suspend=may_suspend, ended=ENDED, noted=DISRUPTED)
        self._lookups = Lookups(client, clock=lambda: clock().timestamp())
        self._progress_url = progress_url.rstrip("/")
        self._tokens = tokens
        self._complete = complete
        self._clock = clock

    async def get(self, key: Key) -> Manifest | None:
        """Return the FineTuneJob as stored, or None."""
        return self._cache.primary(key)

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
        """Return the job's objects at any depth, a claim without an owner, and Events about pods that do not start.

        That claim is this job's own, which stays when the job is deleted, or one of an earlier job of its name, which it adopts.
        Raises Forbidden when a kind is hidden.
        """
        await self._complete()
        owned = descendants(self._cache.children(uid), uid)
        claim = self._cache.get(ObjectRef("PersistentVolumeClaim", key.namespace, names_of(key.name).output))
        kept = [claim] if claim is not None and (is_retained(claim) or is_orphan(claim, job=key.name)) else []
        return [*owned, *kept, *await warnings_about(self._client, key.namespace, owned, self._clock())]

    async def apply(self, key: Key, uid: str, manifests: Sequence[Manifest]) -> bool:
        """Make the cluster hold these children, in this order, and prune owned ones not among them. Returns whether anything was written.

        What already is as rendered is not written. Raises Gone when the job is another by now, Conflict and Rejected when another owner's
        object has a child's name.
        """
        job = self._cache.primary(key)
        if job is None or job["metadata"]["uid"] != uid or job["metadata"].get("deletionTimestamp"):
            raise Gone(f"FineTuneJob {key.namespace}/{key.name} is gone, or was replaced")
        live = {ref_of(item): item for item in self._cache.children(uid) if item["kind"] in RENDERED}
        if any(ref.kind == "Job" and ref not in live for ref in map(ref_of, manifests)):
            self._refuse_running_jobs(key, uid)
        wrote = False
        for manifest in manifests:
            ref = ref_of(manifest)
            # Under a child's name there may be a predecessor's, which has another uid.
            there = live.get(ref) or self._cache.get(ref)
            if there is not None and ref.kind == "Job" and is_orphan(there, job=key.name) and has_ended(there):
                await self._writer.delete(there)  # its template is immutable, and names another job
                there = None
            wrote |= await self._writer.apply(manifest, there, refuse_others=partial(refuse_others, uid=uid, job=key.name))
        for item in to_prune(live.values(), manifests, uid=uid, mounted_config_maps=mounted_config_maps):
            await self._writer.delete(item)
            wrote = True
        return wrote

    def altered(self, manifests: Sequence[Manifest]) -> Sequence[str]:
        """Return a message for each of these children that admission has changed in a way that matters."""
        return self._writer.altered(manifests)

    @property
    def tries_pods(self) -> bool:
        """Whether pods are tried by dry-run creates, which needs the right to create pods (ADR 27)."""
        return self._trials is not None

    async def refusals(self, pods: Sequence[Manifest]) -> Sequence[str]:
        """Return why each of these pods would not be admitted; empty for one that would, or that is not tried."""
        return [await self._trials.refusal(pod) if self._trials else "" for pod in pods]

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        """Replace the job's status, and post an Event about a new state. A job that is gone, or was replaced, is left alone."""
        job = self._cache.primary(key)
        if job is None or job["metadata"]["uid"] != uid:
            return
        before = job.get("status") or {}
        # What differs is only right for what it was compared with.
        precondition = {"uid": uid, "resourceVersion": job["metadata"]["resourceVersion"]}
        try:
            patch = {"metadata": precondition, "status": merge_patch(before, status)}
            self._cache.put(await self._client.merge(FINE_TUNE_JOB, *key, patch, subresource="status"), FINE_TUNE_JOB)
        except (Conflict, Gone):
            now = await self._writer.fetch(ObjectRef(FINE_TUNE_JOB, *key), int(job["metadata"]["resourceVersion"]))
            if now is not None and now["metadata"]["uid"] == uid:
                raise
            return
        if is_news(before, status):
            await post(self._client, event_for(job, status, self._clock()))
        for event in warnings_for(job, before, status, self._clock()):
            await post(self._client, event)

    async def warn(self, key: Key, uid: str, reason: str, message: str) -> None:
        """Post a Warning Event about a job, unless it is gone."""
        job = self._cache.primary(key)
        if job is not None and job["metadata"]["uid"] == uid:
            await post(self._client, warning_for(job, reason, message, self._clock()))

    async def authenticate(self, key: Key, token: str) -> str | None:
        """Return the job's uid if `token` is that of one of its pods. Raises Gone when there is no such job."""
        return await self._tokens.owner(key, token)

    def _refuse_running_jobs(self, key: Key, uid: str) -> None:
        """Raise Conflict or Rejected if a Job of an earlier job of this name still runs, under whatever name: a gang has no second."""
        for found in self._cache.named("Job", key.namespace, label_value(key.name)):
            refuse_running(found, uid=uid, job=key.name)

    def _served(self, job: FineTuneJob) -> PublishedModel | Missing | None:
        name = job.served_job()
        if name is None:
            return None
        raw = self._cache.primary(Key(job.metadata.namespace, name))
        uid = raw["metadata"]["uid"] if raw else ""
        return read_published(name, raw, descendants(self._cache.children(uid), uid))
