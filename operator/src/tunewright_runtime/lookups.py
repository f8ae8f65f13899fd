"""Answers of the API server that are remembered: objects that a primary object names, and whether it would admit an object.

A lookup is remembered for half an hour, so that an idle reconcile sends no request. Only an existing, usable object is cached, and only for
the primary object that named it. A missing one is looked up each time. Only the keys of data are kept, because Secret values must not be
stored and ConfigMaps can be large.

A trial is a dry-run create. The answer to the same object is requested again after a minute if it was a refusal, else after an hour.
Without the right to create the kind nothing is tried for ten minutes. An answer that shows nothing about the object (a busy server, a
webhook without dry-run) counts as admitted, and is not remembered.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from sys import intern

from tunewright_runtime.client import Client
from tunewright_runtime.errors import Forbidden, Rejected, TunewrightError
from tunewright_runtime.objects import Manifest

REMEMBER_SECONDS = 1800.0
UNBOUND_SECONDS = 60.0  # a claim without a volume may get one with fewer access modes
REMEMBER_AT_MOST = 20_000  # primary objects


class Lookups:
    """The cached lookups of all primary objects. `clock` is in seconds."""

    def __init__(self, client: Client, *, clock: Callable[[], float]) -> None:
        self.client = client
        self.clock = clock
        self._owners: dict[str, OwnerLookups] = {}

    def of(self, uid: str) -> "OwnerLookups":
        """Return the lookups of one primary object."""
        owner = self._owners.pop(uid, None) or OwnerLookups(self)
        self._owners[uid] = owner
        if len(self._owners) > REMEMBER_AT_MOST:
            del self._owners[next(iter(self._owners))]  # the least recently used
        return owner

    def forget(self, uid: str) -> None:
        """Drop the cached lookups of one primary object, because one of them was wrong."""
        self._owners.pop(uid, None)


class OwnerLookups:
    """A client's `get` with a cache, for one primary object."""

    def __init__(self, lookups: Lookups) -> None:
        self._lookups = lookups
        self._known: dict[tuple[str, ...], tuple[float, str]] = {}  # expiry, and the object as JSON

    async def get(self, kind: str, namespace: str, name: str) -> Manifest | None:
        """Return the kept part of an object, or None. Raises the client's errors."""
        key, now = (kind, namespace, intern(name)), self._lookups.clock()
        until, known = self._known.get(key, (0.0, ""))
        if now < until:
            remembered: Manifest = json.loads(known)
            return remembered
        found = await self._lookups.client.get(kind, namespace, name)
        self._known.pop(key, None)
        if found is not None and _is_well(found):
            unbound = found.get("status", {}).get("phase") == "Pending"
            # Thousands of primary objects can name the same object, which is kept once.
            self._known[key] = now + (UNBOUND_SECONDS if unbound else REMEMBER_SECONDS), intern(json.dumps(_essence(found)))
        return found


def _is_well(found: Manifest) -> bool:
    return not found["metadata"].get("deletionTimestamp") and found.get("status", {}).get("phase") != "Lost"


def _essence(found: Manifest) -> Manifest:
    keys = {part: dict.fromkeys(found[part], "") for part in ("data", "binaryData") if found.get(part)}
    modes = {part: {"accessModes": found[part]["accessModes"]} for part in ("spec", "status") if found.get(part, {}).get("accessModes")}
    return {"metadata": {"name": found["metadata"]["name"]}, **keys, **modes}


REFUSED_SECONDS, ADMITTED_SECONDS, WITHOUT_RIGHT_SECONDS = 55.0, 3600.0, 600.0
REMEMBERED = 10_000  # answers; beyond that the oldest is dropped

log = logging.getLogger(__name__)


class Trials:
    """Dry-run creates on one API server. `clock` is monotonic, in seconds."""

    def __init__(self, client: Client, *, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, str]] = {}  # digest of the object -> valid until, and the refusal
        self._without_right_until = 0.0

    async def refusal(self, manifest: Manifest) -> str:
        """Return why the API server would not admit an object; empty if it would, or if the request shows nothing."""
        now = self._clock()
        digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
        until, refusal = self._known.get(digest, (0.0, ""))
        if now < until or now < self._without_right_until:
            return refusal
        try:
            await self._client.create(manifest["kind"], manifest["metadata"]["namespace"], manifest, dry_run=True)
        except Forbidden as error:
            self._without_right_until = now + WITHOUT_RIGHT_SECONDS
            log.info("nothing is tried before it starts: %s", error)
            return ""
        except Rejected as error:
            return self._remember(digest, now + REFUSED_SECONDS, str(error))
        except TunewrightError as error:
            log.info("not tried: %s", error)
            return ""
        return self._remember(digest, now + ADMITTED_SECONDS, "")

    def _remember(self, digest: str, until: float, refusal: str) -> str:
        self._known.pop(digest, None)
        self._known[digest] = (until, refusal)
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return refusal
