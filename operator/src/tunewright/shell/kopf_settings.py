"""The settings of kopf that differ from its defaults, each with the problem (docs/adr/0006-kopf-pitfalls.md) that it solves."""

import random
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from tunewright.kube.kinds import CHILDREN, RESOURCES
from tunewright.plan.label_names import JOB_UID

SILENCE_SECONDS = 70.0  # the API server sends a bookmark each minute
PAGE = 100  # objects: 500 pods take 25 MB as dictionaries, and ten kinds are listed at once. session.py bounds their bytes besides
_BACKOFFS = (1, 1, 2, 3, 5, 8, 13)  # seconds
_BACKOFF_CEILING = 20.0


class EndlessBackoffs:
    """Endless seconds between tries, with jitter. It has no length: kopf stops after the last entry of a sequence that has one."""

    def __iter__(self) -> Iterator[float]:
        return (pause * random.uniform(0.8, 1.2) for pause in chain(_BACKOFFS, repeat(_BACKOFF_CEILING)))  # noqa: S311 - no secret


class NothingToCompare(kopf.DiffBaseStorage):
    """Replaces kopf's copy of each object's earlier state. kopf makes it at each event, though only state-changing handlers use it,
    and the copy took nearly half of kopf's time.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return an empty state."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Return no earlier state."""
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""


class NothingToRemember(ResourceMemories):
    """Replaces kopf's record of each object: nearly a kilobyte, kept until the object is deleted. Timers, daemons, indices, state-changing
    handlers and kopf's pause after an error need it; `on.event` does not.
    """

    async def recall(self, raw_body: kopf.RawBody, **how: Any) -> ResourceMemory:
        """Return a record for this one event."""
        return await super().recall(raw_body, **{**how, "ephemeral": True})


def kopf_settings(*, silence_seconds: float = SILENCE_SECONDS) -> kopf.OperatorSettings:
    """Return kopf's settings; `silence_seconds` is how long a watch may have no event."""
    settings = kopf.OperatorSettings()

    # K13: peering pauses all operators of equal priority, and compares wall clocks to decide which are alive.
    # The operator's own Lease decides which one works (tunewright_runtime/lease.py); kopf starts when it is held.
    settings.peering.standalone = True

    # K23: the operator posts Events itself, one for a change of state and none for a log line.
    settings.posting.enabled = False

    # Watching CRDs and namespaces would need rights on both, also in a namespaced installation. The operator waits for its CRD itself.
    settings.scanning.disabled = True

    # K1: if a load balancer drops a connection silently, its watch has no more events. The server ends each watch after 5 minutes, the
    # client a little later, and a watch without any event, not even a bookmark, is restarted.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = silence_seconds
    # K19: lists are read in pages, and of children only those with Tunewright's label.
    settings.watching.chunk_size = PAGE
    for kind in CHILDREN:
        settings.watching.label_selectors[RESOURCES[kind].plural] = JOB_UID

    # K2, K3, K4: after its last try kopf ends the operator on 403 and 5xx. Here the tries are endless, to wait for the end of an outage.
    settings.networking.error_backoffs = EndlessBackoffs()
    # Timeout of one page of a list, which takes a second. A request without an answer is repeated after one minute, not five (the default).
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60

    # K20: kopf keeps a task and a queue for each object for 5 s after its last event; at a start, that is for all objects at once.
    # It also keeps the object: of jobs of a megabyte, several pages at once.
    settings.queueing.idle_timeout = 0.05

    # K24: for an end without a signal, ten minutes by default. After a signal kopf does not kill the process: see controller.py.
    settings.process.ultimate_exiting_timeout = 20
    settings.queueing.exit_timeout = 1

    # K16: kopf's thread pool needs no setting, because no handler is synchronous. K17: docs/benchmarks.md has its memory.

    # K9, K10, K11, K12: with `on.event` alone kopf stores nothing on objects. If that changes, it uses Tunewright's own prefix.
    settings.persistence.finalizer = "tunewright.io/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="tunewright.io")
    settings.persistence.diffbase_storage = NothingToCompare()
    return settings
