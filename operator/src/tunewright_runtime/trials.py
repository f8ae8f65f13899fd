"""Asks the API server whether it would admit an object, by a dry-run create, and remembers the answer.

The answer to the same object is requested again after a minute if it was a refusal, else after an hour. Without the right to create the
kind nothing is tried for ten minutes. An answer that shows nothing about the object (a busy server, a webhook without dry-run) counts as
admitted, and is not remembered.
"""

import hashlib
import json
import logging
from collections.abc import Callable

from tunewright_runtime.client import Client
from tunewright_runtime.errors import Forbidden, Rejected, TunewrightError
from tunewright_runtime.objects import Manifest

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
