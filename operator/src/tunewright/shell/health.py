"""/livez, /readyz and /metrics.

A process can answer probes without working (K5). Live: the queue moves, no worker holds a job for long, and the watches have shown the
objects of the lists (K2: a watch can end without an error). Ready: live, and every kind was read once.

/readyz and the log also name the writes that fail now: a job's status cannot report that status itself cannot be written.
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from tunewright_runtime.errors import NotWritten
from tunewright_runtime.objects import Key

SHOWN = 5  # jobs in /readyz; the rest is a number

log = logging.getLogger(__name__)


class _Failing(NamedTuple):
    since: float
    tries: int
    error: NotWritten


class WriteHealth:
    """Jobs whose last reconcile ended with a failed write. `clock` is monotonic, in seconds."""

    def __init__(self, *, primary: str, clock: Callable[[], float]) -> None:
        self._primary = primary
        self._clock = clock
        self._failing: dict[Key, _Failing] = {}  # the longest failing first

    def failed(self, key: Key, error: NotWritten) -> None:
        """Record a failed write of a job."""
        before = self._failing.get(key)
        self._failing[key] = _Failing(before.since if before else self._clock(), before.tries + 1 if before else 1, error)

    def succeeded(self, key: Key) -> None:
        """Record that all of a job is written, or that it is gone."""
        if (before := self._failing.pop(key, None)) and before.tries > 1:
            log.info("%s/%s is written again, after %d failures in %.0f s", *key, before.tries, self._clock() - before.since)

    def notes(self) -> list[str]:
        """Return what fails, a line each. Statuses come first, because nothing else reports them."""
        ordered = sorted(self._failing.items(), key=lambda entry: entry[1].error.kind != self._primary)
        lines = [self._line(key, failing) for key, failing in ordered[:SHOWN]]
        return [*lines, f"{len(ordered) - SHOWN} more jobs have failed writes"] if len(ordered) > SHOWN else lines

    def _line(self, key: Key, failing: _Failing) -> str:
        what = "the status" if failing.error.kind == self._primary else f"an object ({failing.error.kind})"
        tries = f"{failing.tries} tries in {self._clock() - failing.since:.0f} s"
        return f"{what} of {key.namespace}/{key.name} is not written ({failing.error.reason}, {tries}): {failing.error}"


QUEUE_SECONDS = 300.0  # how long keys may wait while no worker takes one; a long queue that makes progress is healthy
WORK_SECONDS = 600.0  # how long a reconcile may take: every request has a timeout, so a longer one is stuck
LAGGING_SECONDS = 120.0  # how long a watch may miss a job that a list shows

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class OperatorMetrics:
    """One process's metrics, in a registry of their own."""

    def __init__(
        self, *, depth: Callable[[], int], oldest_seconds: Callable[[], float], jobs: Callable[[], int], objects: Callable[[], int]
    ) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "tunewright_reconciles_total",
            "Reconciles by result: ok, or the kind of error.",
            ["result"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "tunewright_reconcile_duration_seconds", "Duration of one reconcile.", buckets=_SECONDS, registry=self.registry
        )
        self.forbidden = Counter(
            "tunewright_forbidden_total",
            "Reconciles that ended because the operator lacks a right.",
            ["verb", "resource"],
            registry=self.registry,
        )
        self.failed_writes = Counter(
            "tunewright_failed_writes_total",
            "Writes that the API server failed or did not answer, by kind and reason. FineTuneJob: its status.",
            ["kind", "reason"],
            registry=self.registry,
        )
        for name, text, read in (
            ("tunewright_queue_depth", "FineTuneJobs waiting for a worker.", depth),
            ("tunewright_queue_oldest_seconds", "Waiting time of the first job in the queue.", oldest_seconds),
            ("tunewright_jobs", "FineTuneJobs that the watch has shown.", jobs),
            ("tunewright_cached_objects", "FineTuneJobs and children in the cache.", objects),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


class WatchHealth:
    """Whether the watches have shown the objects of the lists. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self._lagging_since: dict[str, float] = {}

    def compared(self, kind: str, missed: int, *, now: float) -> None:
        """Record one comparison: the number of objects of a kind that the watch had not shown."""
        if missed:
            self._lagging_since.setdefault(kind, now)
        else:
            self._lagging_since.pop(kind, None)

    def lagging(self, *, now: float) -> tuple[str, float]:
        """Return the kind whose watch has lagged for longest, and for how many seconds; ("", 0) if none lags."""
        since, kind = min(((since, kind) for kind, since in self._lagging_since.items()), default=(now, ""))
        return kind, now - since


class Health:
    """Decides whether the process is live and ready."""

    def __init__(
        self,
        watches: WatchHealth,
        *,
        unready: Callable[[], str],
        stalled_seconds: Callable[[], float],
        busiest_seconds: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._watches = watches
        self._unready = unready
        self._stalled_seconds = stalled_seconds
        self._busiest_seconds = busiest_seconds
        self._clock = clock

    def problems(self) -> list[str]:
        """Return the problems; empty if there are none."""
        found = []
        if (waited := self._stalled_seconds()) > QUEUE_SECONDS:
            found.append(f"a FineTuneJob has waited {waited:.0f} s for a worker")
        if (worked := self._busiest_seconds()) > WORK_SECONDS:
            found.append(f"a FineTuneJob has been in work for {worked:.0f} s")
        kind, seconds = self._watches.lagging(now=self._clock())
        if seconds > LAGGING_SECONDS:
            found.append(f"the watch of {kind} has not shown all there is for {seconds:.0f} s")
        return found

    def unready(self) -> list[str]:
        """Return why work has not begun, or has stopped."""
        return self.problems() or ([reason] if (reason := self._unready()) else [])


def application(
    health: Health,
    metrics: OperatorMetrics,
    *,
    standby: Callable[[], Sequence[str]] = list,
    unanswered: Callable[[], Sequence[str]] = list,
    notes: Callable[[], Sequence[str]] = list,
) -> web.Application:
    """Build the endpoints. `standby` is why this operator does not work yet; it is ready anyway, to take over.

    `unanswered` is why it cannot take over: the API server has not answered it yet.
    `notes` are problems that a restart does not solve. They do not change the verdict.
    """

    def verdict(problems: Sequence[str]) -> web.Response:
        lines = [*(problems or standby() or ["ok"]), *notes()]
        return web.Response(status=503 if problems else 200, text="\n".join(lines) + "\n")

    async def livez(_: web.Request) -> web.Response:
        return verdict(health.problems())

    async def readyz(_: web.Request) -> web.Response:
        return verdict(unanswered() or ([] if standby() else health.unready()))

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    return app
