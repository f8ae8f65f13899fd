"""Leader election: a coordination.k8s.io/v1 Lease, by the rules of client-go.

Promises: two holders never overlap if their clocks run at the same speed, whatever time they show. A holder stops RENEW_SECONDS after its
last renewal request. Others wait LEASE_SECONDS, which is longer, from the last change of the Lease that they have read. Each write is
conditional on the version that was read.

Difference from client-go: a holder that cannot renew writes nothing and waits. When the API server answers again, the Lease shows whether
another process worked meanwhile. If it still names this holder, none did, and work continues.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from tunewright_runtime.client import Client
from tunewright_runtime.errors import Conflict, Gone, Transient, TunewrightError

KIND = "Lease"
LEASE_SECONDS, RENEW_SECONDS, RETRY_SECONDS = 15, 10.0, 2.0  # client-go's

log = logging.getLogger(__name__)


class NotHeldError(Transient):
    """Another process may hold the Lease now, so nothing may be written."""


class LeaseLostError(TunewrightError):
    """Another process holds the Lease, or has held it, so the cache may be out of date."""


class Lease:
    """One candidate. `clock` is monotonic in seconds, and counts while the process is stopped; `identity` is unique."""

    def __init__(
        self,
        client: Client,
        *,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._where = (namespace, name)
        self._identity = identity
        self._clock = clock
        self._now = now
        self._seen: Mapping[str, Any] = {}  # the Lease's spec as last read, its version, and when that version was first read
        self._seen_version = ""
        self._seen_at = 0.0
        self._held_since: float | None = None  # time of the request of the last successful renewal

    @property
    def holder(self) -> str:
        """The holder at the last read. Empty: none."""
        return str(self._seen.get("holderIdentity") or "")

    def held(self) -> bool:
        """Return whether the last renewal is recent enough that no other process can hold the Lease."""
        return self._held_since is not None and self._clock() - self._held_since <= RENEW_SECONDS

    def require(self) -> None:
        """Raise NotHeldError unless it is held now. Call it before every write."""
        if not self.held():
            raise NotHeldError(f"the Lease {'/'.join(self._where)} was not renewed within {RENEW_SECONDS:.0f} s")

    async def acquire(self) -> None:
        """Wait until it is held."""
        while not await self._attempt():  # noqa: ASYNC110 - there is no event; it must poll
            await asyncio.sleep(RETRY_SECONDS)
        log.info("%s holds the Lease %s/%s", self._identity, *self._where)

    async def keep(self) -> None:
        """Renew it in an endless loop. Raises LeaseLostError if another process holds it, or may have held it since the last renewal."""
        was_held = True
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            if not await self._attempt(free_too=False) and self.holder != self._identity:
                self._held_since = None
                raise LeaseLostError(f"the Lease {'/'.join(self._where)} is held by {self.holder or 'no operator'}")
            if self.held() != was_held:
                was_held = not was_held
                log.warning(
                    "the Lease %s/%s %s", *self._where, "is renewed: work continues" if was_held else "cannot be renewed: writes stop"
                )

    async def release(self) -> None:
        """Release it, so that another process can take it at once. Never raises, because it expires anyway."""
        self._held_since = None
        if self.holder != self._identity:
            return
        try:
            found = await self._client.get(KIND, *self._where)
            if found is not None and found["spec"].get("holderIdentity") == self._identity:
                await self._write(found, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._time()})
        except TunewrightError as error:
            log.warning("the Lease was not released, and expires in %d s: %s", LEASE_SECONDS, error)

    async def _attempt(self, *, free_too: bool = True) -> bool:
        """Renew it once, or take it if it is free; return if it is held. Without `free_too`, only a Lease held without a gap is renewed."""
        asked = self._clock()
        try:
            taken = await self._take(free_too=free_too)
        except Conflict:
            return False  # another process was faster; the next read shows which
        except (TunewrightError, TimeoutError) as error:
            log.warning("the Lease %s/%s could not be read or renewed: %s", *self._where, error)
            return False
        if taken:
            self._held_since = asked
        return taken

    async def _take(self, *, free_too: bool) -> bool:
        found = await self._client.get(KIND, *self._where)
        self._see(found)
        ours = self.holder == self._identity
        if not ours and not (self._is_free() and (free_too or self.held())):
            return False
        spec = self._seen
        if found is None:
            created = {"metadata": {"name": self._where[1]}, "spec": self._spec(acquired=self._time(), transitions=0)}
            self._see(await self._client.create(KIND, self._where[0], created))
            return True
        transitions = int(spec.get("leaseTransitions") or 0) + (not ours)
        acquired = spec.get("acquireTime") if ours else self._time()
        self._see(await self._write(found, self._spec(acquired=acquired, transitions=transitions)))
        return True

    async def _write(self, found: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
        meta = {name: found["metadata"][name] for name in ("uid", "resourceVersion")}
        try:
            stored = await self._client.merge(KIND, *self._where, {"metadata": meta, "spec": dict(spec)})
        except Gone as error:
            raise Conflict(str(error)) from error
        return stored

    def _see(self, lease: Mapping[str, Any] | None) -> None:
        self._seen = (lease or {}).get("spec") or {}
        version = lease["metadata"]["resourceVersion"] if lease else ""
        if version != self._seen_version:
            self._seen_version, self._seen_at = version, self._clock()

    def _is_free(self) -> bool:
        """Return whether it has no holder, or was not renewed within its duration."""
        lasts = float(self._seen.get("leaseDurationSeconds") or LEASE_SECONDS)
        return not self.holder or self._clock() - self._seen_at >= lasts

    def _spec(self, *, acquired: Any, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": LEASE_SECONDS,
            "acquireTime": acquired,
            "renewTime": self._time(),
            "leaseTransitions": transitions,
        }

    def _time(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
