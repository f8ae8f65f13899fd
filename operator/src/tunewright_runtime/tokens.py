"""Authenticates a pod's token with the API server (TokenReview), and caches the answer for a short time.

A token is valid for one primary object only: its audience names that object, and its pod must belong to a Job of that object.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from tunewright_runtime.cache import Cache
from tunewright_runtime.client import Client
from tunewright_runtime.errors import Gone
from tunewright_runtime.objects import Key, Manifest, ObjectRef, controller

REMEMBER_SECONDS = 60.0  # a deleted pod's token stays valid for at most this time
REMEMBER_AT_MOST = 10_000  # answers
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"


class Tokens:
    """Reviews tokens. `clock` is monotonic, in seconds; `audience` returns the audience of a primary object's tokens."""

    def __init__(self, client: Client, cache: Cache, *, clock: Callable[[], float], audience: Callable[[Key], str]) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._audience = audience
        self._known: dict[str, tuple[float, str | None]] = {}  # digest of (key, token) -> expiry, uid of the primary object

    async def owner(self, key: Key, token: str) -> str | None:
        """Return the primary object's uid if the token belongs to one of its pods, else None. Raises Gone if there is no such object."""
        digest = hashlib.sha256(f"{key.namespace}\n{key.name}\n{token}".encode()).hexdigest()
        until, uid = self._known.get(digest, (0.0, None))
        if until > self._clock():
            return uid
        primary = self._cache.primary(key)
        if primary is None:
            raise Gone(f"there is no {self._cache.scheme.primary} {key.namespace}/{key.name}")
        uid = str(primary["metadata"]["uid"])
        answer = uid if await self._belongs(key, uid, token) else None
        self._remember(digest, answer)
        return answer

    async def _belongs(self, key: Key, uid: str, token: str) -> bool:
        wanted = self._audience(key)
        review = await self._client.create("TokenReview", "", {"spec": {"token": token, "audiences": [wanted]}})
        status: dict[str, Any] = review.get("status", {})
        if not status.get("authenticated") or wanted not in status.get("audiences", ()):
            return False
        extra = status.get("user", {}).get("extra", {})
        pod = await self._read(ObjectRef("Pod", key.namespace, next(iter(extra.get(_POD_NAME, ())), "-")))
        if pod is None or pod["metadata"]["uid"] not in extra.get(_POD_UID, ()):
            return False
        owner = controller(pod)
        batch = await self._read(ObjectRef("Job", key.namespace, owner["name"])) if owner.get("kind") == "Job" else None
        return batch is not None and batch["metadata"]["uid"] == owner["uid"] and controller(batch).get("uid") == uid

    async def _read(self, ref: ObjectRef) -> Manifest | None:
        """Return an object from the cache, or from the API server, because a pod can report before the watch has shown it."""
        return self._cache.get(ref) or await self._client.get(*ref)

    def _remember(self, digest: str, answer: str | None) -> None:
        now = self._clock()
        if len(self._known) >= REMEMBER_AT_MOST:
            self._known = {known: entry for known, entry in self._known.items() if entry[0] > now}
        if len(self._known) < REMEMBER_AT_MOST:
            self._known[digest] = (now + REMEMBER_SECONDS, answer)
