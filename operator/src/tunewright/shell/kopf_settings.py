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
    """Seconds between tries, for ever, with jitter. Without a length, on purpose: kopf counts the tries of one that has."""

    def __iter__(self) -> Iterator[float]:
        return (pause * random.uniform(0.8, 1.2) for pause in chain(_BACKOFFS, repeat(_BACKOFF_CEILING)))  # noqa: S311 - no secret


class NothingToCompare(kopf.DiffBaseStorage):
    """In place of kopf's memory of what an object was like. kopf asks for it at each event, though only state-changing handlers use it:
    its default copies the object, which was nearly half of all that kopf does.
    """

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Return nothing of an object."""
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Remember nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Write nothing."""


class NothingToRemember(ResourceMemories):
    """In place of kopf's record of each object that it has seen: nearly a kilobyte, kept until the object is deleted. Timers, daemons,
    indices and state-changing handlers need it, and after errors of kopf's own a pause; `on.event` needs none of it.
    """

    async def recall(self, raw_body: kopf.RawBody, **how: Any) -> ResourceMemory:
        """Return a record for this one event."""
        return await super().recall(raw_body, **{**how, "ephemeral": True})


def kopf_settings(*, silence_seconds: float = SILENCE_SECONDS) -> kopf.OperatorSettings:
    """Return them. `silence_seconds`: how long a watch may show nothing."""
    settings = kopf.OperatorSettings()

    # K13: peering pauses everybody at equal priority, and judges liveness by comparing wall clocks.
    # Who works is said by our own Lease (tunewright_runtime/lease.py); kopf is started when it is held.
    settings.peering.standalone = True

    # K23: Events are ours to post, on a change of state; never one for each log line.
    settings.posting.enabled = False

    # Watching CRDs and namespaces would need rights on both, in every namespaced installation too. We wait for our CRD ourselves.
    settings.scanning.disabled = True

    # K1: a watch that a load balancer has forgotten stays silent for ever. The server ends each after 5 minutes, the client a little later,
    # and a watch without any event, not even a bookmark, is restarted.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = silence_seconds
    # K19: lists come in pages, and of children only those with our label leave the API server at all.
    settings.watching.chunk_size = PAGE
    for kind in CHILDREN:
        settings.watching.label_selectors[RESOURCES[kind].plural] = JOB_UID

    # K2, K3, K4: after its last try kopf ends the operator on 403 and 5xx. There is no last try: an outage is waited out.
    settings.networking.error_backoffs = EndlessBackoffs()
    # Of lists, page by page; a page takes a second. One that hangs is tried again after a minute, and not after five, as by default.
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60

    # K20: kopf keeps a task and a queue for each object for 5 s after its last event; at a start, that is for all objects at once.
    # It also keeps the object: of jobs of a megabyte, several pages at once.
    settings.queueing.idle_timeout = 0.05

    # K24: for ends without a signal, ten minutes by default. After a signal, kopf kills nothing: see controller.py.
    settings.process.ultimate_exiting_timeout = 20
    settings.queueing.exit_timeout = 1

    # K16: nothing is set for kopf's pool of threads, for no handler is synchronous. K17: its memory is measured in docs/benchmarks.md.

    # K9, K10, K11, K12: with `on.event` alone nothing is stored on objects. Should that ever change, it is under our own name.
    settings.persistence.finalizer = "tunewright.io/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="tunewright.io")
    settings.persistence.diffbase_storage = NothingToCompare()
    return settings
