"""The World port on a cluster (see reconcile/ports.py). Each reconcile reads everything anew, once: what `children` has read is what the
`apply` after it compares with, and is forgotten then. Should it be out of date by then, the uids in what is written tell.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.errors import Conflict, Gone
from tunewright.kube.apply import Action, carry_out, decide
from tunewright.kube.client import Client
from tunewright.kube.events import event_for, is_news, tell
from tunewright.kube.kinds import FINE_TUNE_JOB, MADE_BY_CONTROLLERS, RENDERED
from tunewright.kube.ownership import descendants, refuse_others
from tunewright.kube.prune import doomed
from tunewright.kube.references import look_up
from tunewright.kube.tokens import Tokens
from tunewright.plan.inputs import References
from tunewright.plan.label_names import JOB_UID

PROGRESS_PATH = "/apis/tunewright.io/v1alpha1/namespaces/{namespace}/finetunejobs/{name}/status"

Manifest = Mapping[str, Any]
Key = tuple[str, str]  # namespace, name; reconcile.ports.Key is one


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


class KubeWorld:
    """Objects of a cluster. `progress_url` is this operator's address for pods (scheme and host); empty: pods report nothing."""

    def __init__(self, client: Client, *, progress_url: str, tokens: Tokens, clock: Callable[[], datetime] = utc_now) -> None:
        self._client = client
        self._progress_url = progress_url.rstrip("/")
        self._tokens = tokens
        self._clock = clock
        self._read: dict[Key, tuple[str, list[Manifest]]] = {}  # a job -> its uid and children, between `children` and `apply`

    async def get(self, key: Key) -> Manifest | None:
        """Return the FineTuneJob as stored, or None."""
        self._read.pop(key, None)
        return await self._client.get(FINE_TUNE_JOB, *key)

    async def dereference(self, job: FineTuneJob) -> References:
        """Look up the claims, ConfigMaps, Secrets and the service account that a job names."""
        place = PROGRESS_PATH.format(namespace=job.metadata.namespace, name=job.metadata.name)
        url = f"{self._progress_url}{place}" if self._progress_url else ""
        found = await look_up(self._client, job)
        return References(missing=found.missing, claims=found.claims, progress_url=url)

    async def children(self, key: Key, uid: str) -> Sequence[Manifest]:
        """Return everything the job owns, at any depth."""
        found = await self._labelled(key[0], uid, (*RENDERED, *MADE_BY_CONTROLLERS))
        self._read[key] = (uid, found)
        return descendants(found, uid)

    async def apply(self, key: Key, uid: str, manifests: Sequence[Manifest]) -> None:
        """Make the cluster hold these children, in this order, and prune owned ones not among them.

        What already is as rendered is not written. Raises Gone when the job is another by now, Conflict and Rejected when somebody else's
        object stands in the way.
        """
        whose, live = self._read.pop(key, ("", []))
        job = await self._client.get(FINE_TUNE_JOB, *key)
        if job is None or job["metadata"]["uid"] != uid or job["metadata"].get("deletionTimestamp"):
            raise Gone(f"FineTuneJob {key[0]}/{key[1]} is gone, or another one by now")
        if whose != uid:
            live = await self._labelled(key[0], uid, RENDERED)
        by_name = {(item["kind"], item["metadata"]["name"]): item for item in live}
        for manifest in manifests:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            # What does not bear our labels may stand there all the same: a stranger's, or a child whose labels were taken off.
            there = by_name.get((kind, name)) or await self._client.get(kind, key[0], name)
            if there is not None:
                refuse_others(there, uid=uid, job=key[1])
            if (action := decide(manifest, there)) is not Action.KEEP:
                await carry_out(action, self._client, manifest, there)
        for item in doomed((item for item in live if item["kind"] in RENDERED), manifests, uid=uid):
            await self._client.delete(item["kind"], key[0], item["metadata"]["name"], uid=item["metadata"]["uid"])

    async def patch_status(self, key: Key, uid: str, status: Mapping[str, Any]) -> None:
        """Replace the job's status, and tell of a new state in an Event. A job that is gone, or another one by now, is left alone."""
        job = await self._client.get(FINE_TUNE_JOB, *key)
        if job is None or job["metadata"]["uid"] != uid:
            return
        before = job.get("status") or {}
        try:
            # The uid is compared by the API server: the job may have been replaced since it was read.
            await self._client.merge(
                FINE_TUNE_JOB, *key, {"metadata": {"uid": uid}, "status": merge_patch(before, status)}, subresource="status"
            )
        except (Conflict, Gone):
            now = await self._client.get(FINE_TUNE_JOB, *key)
            if now is not None and now["metadata"]["uid"] == uid:
                raise
            return
        if is_news(before, status):
            await tell(self._client, event_for(job, status, self._clock()))

    async def authenticate(self, key: Key, token: str) -> str | None:
        """Return the job's uid if `token` is that of one of its pods. Raises Gone when there is no such job."""
        return await self._tokens.owner(*key, token)

    async def _labelled(self, namespace: str, uid: str, kinds: Sequence[str]) -> list[Manifest]:
        selector = f"{JOB_UID}={uid}"
        lists = await asyncio.gather(*(self._client.list(kind, namespace, selector=selector) for kind in kinds))
        return [item for found in lists for item in found]


def merge_patch(before: Any, after: Any) -> Any:
    """Return what turns one JSON value into another by RFC 7386: only what differs, and null for what is not there any more."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return after
    changed = {name: merge_patch(before.get(name), value) for name, value in after.items() if name not in before or before[name] != value}
    return changed | dict.fromkeys(before.keys() - after.keys())
