"""Leader election: a coordination.k8s.io/v1 Lease, by the rules of client-go.

Promises: two holders never overlap if their clocks run at the same speed, whatever time they show. A holder stops RENEW_SECONDS after its
last renewal request. Others wait LEASE_SECONDS, which is longer, from the last change of the Lease that they have read. Each write is
conditional on the version that was read.

A renewal is one request, as in client-go: a write conditional on the version of the holder's last write, without a read. The next one
begins RETRY_SECONDS after the beginning of the last, or at once if that took longer. So a holder keeps the Lease while the API server
answers within half of RENEW_SECONDS.

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
        self._stored: Mapping[str, Any] = {}  # the Lease as this candidate has last written it; empty if it was not the last writer
        self._held_since: float | None = None  # time of the request of the last successful renewal
        self._began = clock()
        self._answered = False  # a request about the Lease has succeeded
        self._trouble = ""  # why the last attempt failed; empty if it was answered

    @property
    def holder(self) -> str:
        """The holder at the last read. Empty: none."""
        return str(self._seen.get("holderIdentity") or "")

    def held(self) -> bool:
        """Return whether the last renewal is recent enough that no other process can hold the Lease."""
        return self._held_since is not None and self._clock() - self._held_since <= RENEW_SECONDS

    def why_not_held(self) -> str:
        """Return why it is not held, and for how long; empty if it is held."""
        if self.held():
            return ""
        since = self._began if self._held_since is None else self._held_since + RENEW_SECONDS
        why = f"it cannot be read or written: {self._trouble}" if self._trouble else f"it is held by {self.holder or 'no operator yet'}"
        return f"waits for the Lease {'/'.join(self._where)} for {self._clock() - since:.0f} s: {why}"

    def unanswered(self) -> str:
        """Return why no request about the Lease has succeeded yet; empty if one has."""
        return "" if self._answered else self.why_not_held()

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
        began = self._clock() if self._held_since is None else self._held_since
        while True:
            await asyncio.sleep(max(0.0, RETRY_SECONDS - (self._clock() - began)))
            began = self._clock()
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
        self._held_since, self._stored = None, {}
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
        try:
            taken = await self._renew() or await self._take(free_too=free_too)
        except Conflict:
            self._answered, self._trouble = True, ""
            return False  # another process was faster; the next read shows which
        except (TunewrightError, TimeoutError) as error:
            self._trouble = str(error)
            log.warning("the Lease %s/%s could not be read or renewed: %s", *self._where, error)
            return False
        self._answered, self._trouble = True, ""
        return taken

    async def _renew(self) -> bool:
        """Renew the Lease that this candidate wrote last, without reading it. Return False if another process has written it."""
        if not self._stored:
            return False
        asked = self._clock()
        acquired, transitions = (self._stored["spec"].get(name) for name in ("acquireTime", "leaseTransitions"))
        try:
            self._wrote(await self._write(self._stored, self._spec(acquired=acquired, transitions=transitions)), asked)
        except Conflict:
            self._stored = {}
            return False
        return True

    async def _take(self, *, free_too: bool) -> bool:
        found = await self._client.get(KIND, *self._where)
        self._see(found)
        ours = self.holder == self._identity
        if not ours and not (self._is_free() and (free_too or self.held())):
            return False
        spec, asked = self._seen, self._clock()
        if found is None:
            created = {"metadata": {"name": self._where[1]}, "spec": self._spec(acquired=self._time(), transitions=0)}
            self._wrote(await self._client.create(KIND, self._where[0], created), asked)
            return True
        transitions = int(spec.get("leaseTransitions") or 0) + (not ours)
        acquired = spec.get("acquireTime") if ours else self._time()
        self._wrote(await self._write(found, self._spec(acquired=acquired, transitions=transitions)), asked)
        return True

    def _wrote(self, stored: Mapping[str, Any], asked: float) -> None:
        """Record a write of this candidate that was requested at `asked`. Others wait from a later time: they must read it first."""
        self._see(stored)
        self._stored = stored
        self._held_since = asked

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
