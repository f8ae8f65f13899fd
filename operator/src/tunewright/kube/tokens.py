"""Whose token is it? Asked of the API server (TokenReview), and remembered for a short while, so that reports in a loop cost nothing.

A token is good for one job only: its audience names the job's status, and the pod it was given to must belong to a Job of that job.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from tunewright.errors import Gone
from tunewright.kube.cache import Cache, Place
from tunewright.kube.client import Client
from tunewright.kube.kinds import FINE_TUNE_JOB, PLACES
from tunewright.kube.ownership import controller

REMEMBER_SECONDS = 60.0  # a deleted pod's token is good for as long as this
REMEMBER_AT_MOST = 10_000  # answers
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


def audience(namespace: str, name: str) -> str:
    """Name whom a progress token is for: this job's status and nothing else (see `render.volumes.progress_audience`)."""
    return f"{PLACES[FINE_TUNE_JOB].api_version}/namespaces/{namespace}/finetunejobs/{name}/status"


class Tokens:
    """Judges tokens. `clock` gives seconds that never go back."""

    def __init__(self, client: Client, cache: Cache, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._known: dict[str, tuple[float, str | None]] = {}  # digest of (job, token) -> until when, uid of the job

    async def owner(self, namespace: str, name: str, token: str) -> str | None:
        """Return the uid of the job if the token is that of one of its pods, else None. Raises Gone when there is no such job."""
        digest = hashlib.sha256(f"{namespace}\n{name}\n{token}".encode()).hexdigest()
        until, uid = self._known.get(digest, (0.0, None))
        if until > self._clock():
            return uid
        job = self._cache.job((namespace, name))
        if job is None:
            raise Gone(f"there is no FineTuneJob {namespace}/{name}")
        uid = str(job["metadata"]["uid"])
        answer = uid if await self._belongs(namespace, name, uid, token) else None
        self._remember(digest, answer)
        return answer

    async def _belongs(self, namespace: str, name: str, uid: str, token: str) -> bool:
        wanted = audience(namespace, name)
        review = await self._client.create("TokenReview", "", {"spec": {"token": token, "audiences": [wanted]}})
        status: dict[str, Any] = review.get("status", {})
        if not status.get("authenticated") or wanted not in status.get("audiences", ()):
            return False
        extra = status.get("user", {}).get("extra", {})
        pod = await self._read(Place("Pod", namespace, next(iter(extra.get(_POD_NAME, ())), "-")))
        if pod is None or pod["metadata"]["uid"] not in extra.get(_POD_UID, ()):
            return False
        owner = controller(pod)
        batch = await self._read(Place("Job", namespace, owner["name"])) if owner.get("kind") == "Job" else None
        return batch is not None and batch["metadata"]["uid"] == owner["uid"] and controller(batch).get("uid") == uid

    async def _read(self, place: Place) -> Mapping[str, Any] | None:
        """Return an object; a pod may speak before the watch has shown it."""
        return self._cache.get(place) or await self._client.get(*place)

    def _remember(self, digest: str, answer: str | None) -> None:
        now = self._clock()
        if len(self._known) >= REMEMBER_AT_MOST:
            self._known = {key: entry for key, entry in self._known.items() if entry[0] > now}
        if len(self._known) < REMEMBER_AT_MOST:
            self._known[digest] = (now + REMEMBER_SECONDS, answer)
