"""The operator as one process on this machine: local world, progress endpoint, queue and reconciler.

    async with LocalOperator(home, key, on_event=show) as operator:
        job = await operator.wait(settled)

Leaving the block stops the job's processes with SIGTERM: they save and can resume. `hurry()` sends SIGKILL. If this process is killed,
they continue, and the next LocalOperator adopts them.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from tunewright.local.app import Home, utc_now
from tunewright.local.logs import Follower
from tunewright.local.network import LOOPBACK, free_port, is_free
from tunewright.local.store import Object
from tunewright.local.supervisor import JobLock, hold
from tunewright.local.world import KIND, LocalWorld
from tunewright.plan.inputs import Defaults
from tunewright.plan.label_names import JOB_NAME
from tunewright.plan.names import label_value
from tunewright.reconcile.pace import Pace
from tunewright.reconcile.ports import Ports
from tunewright.reconcile.progress import PATH, Board, application
from tunewright.reconcile.reconcile import reconcile
from tunewright.reconcile.steps import StepsOfJobs
from tunewright_runtime.driver import Driver, ReconcileResult
from tunewright_runtime.listening import serve
from tunewright_runtime.objects import Key
from tunewright_runtime.queue import Queue

POLL_SECONDS = 0.3  # between two reads of what other processes write


@dataclass(frozen=True)
class StatusChanged:
    """The job as stored now."""

    job: Object


@dataclass(frozen=True)
class LogLine:
    """A line that a pod has printed."""

    pod: str
    text: str


Event = StatusChanged | LogLine


class LocalOperator:
    """Runs one FineTuneJob of a home. Entering raises Rejected if another process runs it, Gone if there is no such job."""

    def __init__(self, home: Home, key: Key, *, on_event: Callable[[Event], None], defaults: Defaults | None = None) -> None:
        self._home = home
        self._key = key
        self._on_event = on_event
        self._defaults = defaults or Defaults()
        self._board = Board()
        self._queue: Queue[Key] = Queue(clock=lambda: asyncio.get_running_loop().time(), chance=random.random)
        self._changed = asyncio.Event()
        self._at_once = False
        self._looked = False  # whether this process wrote the status, and not an earlier one
        self._failed: BaseException | None = None
        self._generation: int | None = None
        self._shown: Any = None
        self._stack = AsyncExitStack()
        self._machine = home.machine(self._key)

    async def __aenter__(self) -> Self:
        home, key = self._home, self._key
        home.job(key)
        async with AsyncExitStack() as stack:
            lock = stack.enter_context(hold(home.layout, *key, now=utc_now()))
            stack.callback(self._show_logs, follower := Follower(home.log_folder(key), from_now=True))
            world = _StoppableWorld(home.store, home.layout, home.secrets, progress_url=await self._serve_progress(stack, lock))
            ports = Ports(world=world, progress=self._board, clock=utc_now, defaults=self._defaults, steps=StepsOfJobs(), pace=Pace())

            async def reconcile_once(which: Key) -> ReconcileResult:
                result = await reconcile(which, ports)
                self._looked = True
                self._changed.set()
                return result

            driver = Driver(self._queue, reconcile_once, workers=1)
            home.store.watch(self._note)
            stack.push_async_callback(self._machine.close)
            tasks: list[asyncio.Task[None]] = []
            stack.push_async_callback(self._stop, tasks, driver, world)
            await self._machine.step()  # the stored status may show a server as running that ended with its last supervisor
            tasks += [
                asyncio.create_task(driver.run(), name="driver"),
                asyncio.create_task(self._machine.run(), name="machine"),
                asyncio.create_task(self._poll(follower), name="poll"),
            ]
            for task in tasks:
                task.add_done_callback(self._notice_failure)
            self._queue.add(key)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def wait(self, until: Callable[[Object], bool]) -> Object:
        """Wait until the job satisfies a condition, and return it.

        Raises Gone if it is deleted meanwhile, and the error that ended this operator.
        """
        while True:
            self._changed.clear()
            if self._failed is not None:
                raise self._failed
            job = self._home.job(self._key)
            if self._looked and until(job):
                return job
            await self._changed.wait()

    def hurry(self) -> None:
        """Kill the running processes instead of waiting for them."""
        self._at_once = True

    async def _serve_progress(self, stack: AsyncExitStack, lock: JobLock) -> str:
        """Listen where running pods already report, if that port is still free. Returns the job's address."""
        world = LocalWorld(self._home.store, self._home.layout, self._home.secrets, progress_url="")
        before = lock.holder.progress_port
        port = before if before is not None and is_free(before) else free_port()
        await serve(stack, application(self._board, world, wake=self._wake), port, host=LOOPBACK)
        lock.write(replace(lock.holder, progress_port=port))
        return f"http://{LOOPBACK}:{port}{PATH.format(namespace=self._key.namespace, name=self._key.name)}"

    async def _stop(self, tasks: list[asyncio.Task[None]], driver: Driver[Key], world: "_StoppableWorld") -> None:
        """End the reconciler first, so that it starts no more pods; then the pods; then write the final status."""
        self._queue.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # `wait` raises what failed
        await self._machine.stop(at_once=lambda: self._at_once)
        world.closed = True
        await driver.once(self._key)

    async def _poll(self, follower: Follower) -> None:
        """Read what other processes write: logs, and another command's change of the job."""
        while True:
            self._show_logs(follower)
            job = self._home.store.get(KIND, *self._key)
            if job is None:
                self._changed.set()
            elif job["metadata"]["generation"] != self._generation:
                self._note(job)
            await asyncio.sleep(POLL_SECONDS)

    def _show_logs(self, follower: Follower) -> None:
        for pod, text in follower.new_lines():
            self._on_event(LogLine(pod, text))

    def _wake(self, key: Key) -> None:
        self._queue.add(key)

    def _note(self, item: Object) -> None:
        """Handle every write of this process: a child causes a reconcile, the job itself only when its spec has changed."""
        meta = item["metadata"]
        if meta["namespace"] != self._key.namespace:
            return
        if item["kind"] == KIND and meta["name"] == self._key.name:
            if meta["generation"] != self._generation:
                self._generation = meta["generation"]
                self._queue.add(self._key)
            if item.get("status") != self._shown:
                self._shown = item.get("status")
                self._on_event(StatusChanged(item))
            self._changed.set()
        elif meta.get("labels", {}).get(JOB_NAME) == label_value(self._key.name):
            self._queue.add(self._key)

    def _notice_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = error
            self._changed.set()


class _StoppableWorld(LocalWorld):
    """Applies nothing after it is closed. The next run applies the children of its own manifest, which can differ."""

    closed = False

    async def apply(self, key: Key, uid: str, manifests: Sequence[Mapping[str, Any]]) -> bool:
        return False if self.closed else await super().apply(key, uid, manifests)
