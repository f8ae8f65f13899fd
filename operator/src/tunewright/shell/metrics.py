"""Metrics in Prometheus' text format: rate, errors and duration of reconciles, the queue, and the watches."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
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
        for name, text, read in (
            ("tunewright_queue_depth", "FineTuneJobs waiting for a worker.", depth),
            ("tunewright_queue_oldest_seconds", "For how long the first in line has waited.", oldest_seconds),
            ("tunewright_jobs", "FineTuneJobs that the watch has shown.", jobs),
            ("tunewright_cached_objects", "FineTuneJobs and children that are known.", objects),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Return everything as a scrape expects it."""
        return generate_latest(self.registry)
