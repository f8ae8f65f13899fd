"""The operator, put together: kopf's watches fill the queue, the driver empties it through the spine into the cluster."""

import asyncio
import logging
import random
import time
from contextlib import AsyncExitStack

import kopf
from aiohttp import web

from tunewright.errors import Conflict, Gone, Invalid, Rejected, Transient, TunewrightError
from tunewright.kube.client import Client, connect
from tunewright.kube.kinds import FINE_TUNE_JOB
from tunewright.kube.tokens import Tokens
from tunewright.kube.world import KubeWorld, utc_now
from tunewright.reconcile.driver import Driver, Result
from tunewright.reconcile.ports import Key, Ports
from tunewright.reconcile.progress import Board
from tunewright.reconcile.progress import application as progress_application
from tunewright.reconcile.queue import Queue
from tunewright.reconcile.reconcile import reconcile
from tunewright.shell.handlers import registry_of
from tunewright.shell.health import Health, Sight
from tunewright.shell.health import application as health_application
from tunewright.shell.keys import Keys
from tunewright.shell.kopf_settings import kopf_settings
from tunewright.shell.metrics import Metrics
from tunewright.shell.settings import Settings

PROGRESS_SECONDS = 5.0  # at most one status for each job and this long, however often its pods report
LOOK_SECONDS = 60.0  # between two lists of all jobs, against which the watch is checked
DRAIN_SECONDS = 15.0  # for reconciles in progress, when told to stop; the pod has 30

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises whatever ends the watches or the workers: the kubelet is to start the process again."""
    clock = time.monotonic
    queue: Queue[Key] = Queue(clock=clock, chance=random.random)
    keys, board, sight = Keys(), Board(), Sight()
    metrics = Metrics(depth=queue.depth, oldest_seconds=queue.oldest_seconds, jobs=lambda: len(keys.known()))
    health = Health(sight, oldest_seconds=queue.oldest_seconds, clock=clock)
    async with AsyncExitStack() as stack:
        await serve(stack, health_application(health, metrics), settings.health_port)
        client = connect(threads=max(settings.workers, 8))
        stack.callback(client.close)
        world = KubeWorld(client, progress_url=settings.progress_url, tokens=Tokens(client, clock=clock))
        ports = Ports(world=world, progress=board, clock=utc_now, defaults=settings.defaults())

        def wake_later(key: Key) -> None:
            queue.add_after(key, PROGRESS_SECONDS)

        await serve(stack, progress_application(board, world, wake=wake_later), settings.progress_port)
        driver = Driver(queue, Spine(ports, board, metrics), workers=settings.workers)
        await _until_there(client, settings)
        working = asyncio.create_task(driver.run(), name="driver")
        looking = asyncio.create_task(_look(client, settings, keys, sight, queue), name="look")
        watching = asyncio.create_task(
            kopf.operator(
                registry=registry_of(keys, queue.add),
                settings=kopf_settings(),
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
            ),
            name="kopf",
        )
        log.info("watching %s", ", ".join(settings.namespaces) or "all namespaces")
        # kopf has installed the signal handlers, and returns when one came.
        done, _ = await asyncio.wait({working, looking, watching}, return_when=asyncio.FIRST_COMPLETED)
        queue.close()
        looking.cancel()
        watching.cancel()
        await asyncio.wait({working, looking, watching}, timeout=DRAIN_SECONDS)
        for task in done:
            task.result()
        log.info("stopped")


class Spine:
    """`reconcile` with its metrics."""

    def __init__(self, ports: Ports, board: Board, metrics: Metrics) -> None:
        self._ports = ports
        self._board = board
        self._metrics = metrics

    async def __call__(self, key: Key) -> Result:
        result = "ok"
        began = time.monotonic()
        try:
            return await reconcile(key, self._ports)
        except Gone:
            result = "gone"
            self._board.forget(key)
            raise
        except (Conflict, Transient, Invalid, Rejected) as error:
            result = type(error).__name__.lower()
            raise
        except Exception:
            result = "bug"
            raise
        finally:
            self._metrics.reconciles.labels(result).inc()
            self._metrics.seconds.observe(time.monotonic() - began)


async def serve(stack: AsyncExitStack, app: web.Application, port: int) -> None:
    """Listen on all addresses until the stack is left."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "0.0.0.0", port).start()  # noqa: S104 - a pod's address is not known before


async def _until_there(client: Client, settings: Settings) -> None:
    """Wait until FineTuneJobs can be listed: the operator may start before its CRD, its rights or the API server."""
    pause = 1.0
    while True:
        try:
            await _list(client, settings)
        except TunewrightError as error:
            log.warning("FineTuneJobs cannot be listed yet; next try in %.0f s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 15.0)
        else:
            return


async def _look(client: Client, settings: Settings, keys: Keys, sight: Sight, queue: Queue[Key]) -> None:
    """Compare the jobs that there are with those that the watch has shown, for ever. What it has missed is worked on all the same."""
    while True:
        try:
            listed = await _list(client, settings)
        except TunewrightError as error:
            log.warning("FineTuneJobs could not be listed: %s", error)
        else:
            known = keys.known()
            sight.compare(listed, known, now=time.monotonic())
            for uid in listed.keys() - known.keys():
                queue.add(listed[uid])
        await asyncio.sleep(LOOK_SECONDS)


async def _list(client: Client, settings: Settings) -> dict[str, Key]:
    found = [item["metadata"] for space in settings.namespaces or ("",) for item in await client.list(FINE_TUNE_JOB, space)]
    return {meta["uid"]: Key(meta["namespace"], meta["name"]) for meta in found}
