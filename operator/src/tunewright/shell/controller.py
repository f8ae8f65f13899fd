"""The operator's work while it leads: watches, surveys and workers, from their start to the signal that ends them."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from functools import partial

import kopf

from tunewright.kube.kinds import FINE_TUNE_JOB, WATCHED, new_cache
from tunewright.kube.world import KubeWorld, audience, utc_now
from tunewright.reconcile.pace import Pace
from tunewright.reconcile.ports import Ports
from tunewright.reconcile.progress import Board
from tunewright.reconcile.reconcile import reconcile
from tunewright.reconcile.steps import StepsOfJobs
from tunewright.shell.handlers import registry_of
from tunewright.shell.health import Health, OperatorMetrics, WatchHealth, WriteHealth
from tunewright.shell.kopf_settings import NothingToRemember, kopf_settings
from tunewright.shell.settings import OperatorSettings
from tunewright_runtime.cache_sync import CacheSync, EventHandler, SyncLoop
from tunewright_runtime.client import Client
from tunewright_runtime.driver import Driver, ReconcileResult
from tunewright_runtime.errors import Conflict, Forbidden, Gone, Invalid, NotWritten, Rejected, Transient
from tunewright_runtime.lookups import Trials
from tunewright_runtime.objects import Key
from tunewright_runtime.queue import Backoff, Queue
from tunewright_runtime.tokens import Tokens

SETTLE_SECONDS = 0.05  # children change in bursts: a Job, its pods and their status
PROGRESS_SECONDS = 15.0  # at most one status write per job in this time, however often its pods report
LONG_PROGRESS_SECONDS = 30.0  # the same of a job that has trained for minutes
ROUTINE_SECONDS = 3.0  # until a stage that follows another, or a step, is in status
WITHIN_STAGE_SECONDS = 15.0  # until status shows that the pods of a stage run: most start within it
PROBE_SECONDS = 30.0  # between two requests for a kind that may not be read
JOBS_SECONDS, CHILDREN_SECONDS = 60.0, 300.0  # between two comparisons of the watches with a list
RETRY_CEILING = 60.0  # longest delay of the work after an outage
NAMESPACES = 30  # each has a watch of each kind; docs/limits.md has their memory
DRAIN_SECONDS = 15.0  # for running reconciles after SIGTERM; the pod has 30

log = logging.getLogger(__name__)


class Controller:
    """The parts of one working operator."""

    def __init__(self, settings: OperatorSettings, client: Client, *, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._queue: Queue[Key] = Queue(clock=clock, chance=chance, backoff=Backoff(ceiling=RETRY_CEILING))
        self._cache = new_cache()
        self._watches = WatchHealth()
        self._stop = asyncio.Event()
        self._sync = CacheSync(
            client, self._cache, namespaces=settings.namespaces, wake=self._queue.add, read_cluster=settings.read_cluster
        )
        self.board = Board()
        self.world = KubeWorld(
            client,
            self._cache,
            progress_url=settings.progress_url,
            tokens=Tokens(client, self._cache, clock=clock, audience=audience),
            complete=self._sync.require_readable,
            trials=Trials(client, clock=clock) if settings.try_pods else None,
        )
        self.metrics = OperatorMetrics(
            depth=self._queue.depth,
            oldest_seconds=self._queue.oldest_seconds,
            jobs=lambda: len(self._cache.primary_keys()),
            objects=self._cache.size,
        )
        self.writes = WriteHealth(primary=FINE_TUNE_JOB, clock=clock)
        self.health = Health(
            self._watches,
            unready=self._unready,
            stalled_seconds=self._queue.stalled_seconds,
            busiest_seconds=self._queue.busiest_seconds,
            clock=clock,
        )

    def ready(self) -> bool:
        """Return whether every kind can be read."""
        return self._sync.has_synced()

    def wake_later(self, key: Key) -> None:
        """Reconcile a job soon: a pod has reported."""
        self._queue.add_after(key, self.board.pause(key, now=self._clock(), least=PROGRESS_SECONDS, most=LONG_PROGRESS_SECONDS))

    async def run(self) -> None:
        """Work until a signal. Raises the error that ended it otherwise, and RuntimeError if a task ended without an error."""
        watching = asyncio.create_task(self._watch(), name="kopf")
        looking = asyncio.create_task(self._look(), name="look")
        working = asyncio.create_task(self._work(), name="driver")
        log_scope(self._settings)
        done, _ = await asyncio.wait({working, looking, watching}, return_when=asyncio.FIRST_COMPLETED)
        self._queue.close()
        looking.cancel()
        watching.cancel()
        if not self.ready():
            working.cancel()  # it has not begun
        await asyncio.wait({working, looking, watching}, timeout=DRAIN_SECONDS)
        _raise_first(watching, looking, working)  # kopf cancels the others when one of its watches fails
        if not self._stop.is_set():
            raise RuntimeError(f"{', '.join(task.get_name() for task in done)} ended without a signal to stop")
        log.info("stopped")

    async def _watch(self) -> None:
        """Let kopf watch until a signal sets its stop flag. `kopf.operator` would handle the signals itself without reporting them."""
        others = asyncio.all_tasks()
        watched = self._settings.namespaces
        spaces = () if self._settings.read_cluster else watched
        tasks = await kopf.spawn_tasks(
            registry=registry_of(
                EventHandler(self._cache, namespaces=watched),
                self._queue.add,
                wake_soon=self._wake_soon,
                wake_routinely=partial(self._queue.add, routine=True),
            ),
            settings=kopf_settings(silence_seconds=self._settings.watch_silence_seconds),
            memories=NothingToRemember(),
            standalone=True,
            clusterwide=not spaces,
            namespaces=spaces,
            stop_flag=self._stop,
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):  # in place of kopf's own handlers
            loop.add_signal_handler(number, self._stop.set)
        await kopf.run_tasks(tasks, ignored=others)

    async def _look(self) -> None:
        resync = self._settings.resync_seconds
        async with asyncio.TaskGroup() as group:
            for kind in WATCHED:
                every = min(JOBS_SECONDS if kind == FINE_TUNE_JOB else CHILDREN_SECONDS, resync)
                comparing = SyncLoop(self._sync, kind, every=every, probe_every=min(PROBE_SECONDS, resync), report=self._compared)
                group.create_task(comparing.run(), name=f"compare {kind}")

    async def _work(self) -> None:
        """Begin when the cache is complete: a child that was not listed yet must not count as missing."""
        await self._sync.wait_for_sync()
        ports = Ports(
            world=self.world,
            progress=self.board,
            clock=utc_now,
            defaults=self._settings.defaults(),
            steps=StepsOfJobs(),
            pace=Pace(seconds=ROUTINE_SECONDS, within_a_stage=WITHIN_STAGE_SECONDS, clock=self._clock),
            failures=self._queue.failures,
        )
        spine = MeteredReconcile(ports, self.board, self.metrics, self.writes, resync_seconds=self._settings.resync_seconds)
        await Driver(self._queue, spine, workers=self._settings.workers).run()

    def _wake_soon(self, key: Key) -> None:
        self._queue.add_after(key, SETTLE_SECONDS)

    def _compared(self, kind: str, missed: int) -> None:
        self._watches.compared(kind, missed, now=self._clock())

    def _unready(self) -> str:
        return "" if self._sync.has_synced() else f"not seen yet: {', '.join(self._sync.unsynced())}"


def log_scope(settings: OperatorSettings) -> None:
    """Log what is watched, and a warning about many watches."""
    spaces = settings.namespaces
    log.info("watching %s", ", ".join(spaces) or "all namespaces")
    if len(spaces) > NAMESPACES and not settings.read_cluster:
        log.warning(
            "%d namespaces need %d watches: set rbac.readCluster=true in the chart for %d watches, or divide the namespaces among releases "
            "of at most %d",
            len(spaces),
            len(spaces) * len(WATCHED),
            len(WATCHED),
            NAMESPACES,
        )


def _raise_first(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        if task.done() and not task.cancelled():
            task.result()


class MeteredReconcile:
    """`reconcile` with its metrics. Every job is reconciled again after at most `resync_seconds`."""

    def __init__(self, ports: Ports, board: Board, metrics: OperatorMetrics, writes: WriteHealth, *, resync_seconds: float) -> None:
        self._ports = ports
        self._board = board
        self._metrics = metrics
        self._writes = writes
        self._resync_seconds = resync_seconds

    async def __call__(self, key: Key) -> ReconcileResult:
        result = "ok"
        began = time.monotonic()
        try:
            done = await reconcile(key, self._ports)
            self._writes.succeeded(key)
            return ReconcileResult(min(done.requeue_after or self._resync_seconds, self._resync_seconds))
        except Gone:
            result = "gone"
            self._board.forget(key)
            self._writes.succeeded(key)
            raise
        except (Conflict, Transient, Invalid, Rejected) as error:
            result = "transient" if isinstance(error, NotWritten) else type(error).__name__.lower()
            if isinstance(error, Forbidden):
                self._metrics.forbidden.labels(error.verb, error.resource).inc()
            if isinstance(error, NotWritten):
                self._metrics.failed_writes.labels(error.kind, error.reason).inc()
                self._writes.failed(key, error)
            raise
        except Exception:
            result = "bug"
            raise
        finally:
            self._metrics.reconciles.labels(result).inc()
            self._metrics.seconds.observe(time.monotonic() - began)
