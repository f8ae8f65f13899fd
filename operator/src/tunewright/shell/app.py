"""The operator process: its ports, its Lease, and the work while it holds the Lease (controller.py)."""

import asyncio
import logging
import random
import secrets
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

from tunewright.kube.kinds import SCHEME
from tunewright.reconcile.progress import BOUNDS, Limits
from tunewright.reconcile.progress import application as progress_application
from tunewright.shell.controller import Controller
from tunewright.shell.health import application as health_application
from tunewright.shell.settings import OperatorSettings
from tunewright_runtime.client import connect
from tunewright_runtime.lease import Lease
from tunewright_runtime.listening import serve

LEASE = "tunewright-operator"
USER_AGENT = "tunewright-operator"  # in the API server's audit log
# For one request about the Lease. Renewals begin every 2 s; after one without an answer, another fits before the deadline of 10 s.
LEASE_READ_SECONDS = 6.0

log = logging.getLogger(__name__)


async def run(settings: OperatorSettings) -> None:
    """Work until SIGTERM or SIGINT. Raises the error that ends the watches or the workers; the kubelet then restarts the process.

    With leader election, work begins when the Lease is held, and pauses while it cannot be renewed. Raises LeaseLostError if another
    operator has taken it.
    """
    async with AsyncExitStack() as stack:
        lease = _lease(settings, stack)
        client = connect(
            SCHEME, user_agent=USER_AGENT, threads=max(settings.workers, 8), may_write=lease.require if lease else _no_election
        )
        stack.callback(client.close)
        controller = Controller(settings, client, clock=time.monotonic, chance=random.random)

        def standby() -> list[str]:
            why = lease.why_not_held() if lease else ""
            return [f"{settings.pod_name} {why}"] if why else []

        def unanswered() -> list[str]:
            why = lease.unanswered() if lease else ""
            return [f"{settings.pod_name} {why}"] if why else []

        await serve(
            stack,
            health_application(
                controller.health, controller.metrics, standby=standby, unanswered=unanswered, notes=controller.writes.notes
            ),
            settings.health_port,
        )
        progress = progress_application(
            controller.board, controller.world, wake=controller.wake_later, ready=controller.ready, limits=Limits(clock=time.monotonic)
        )
        await serve(stack, progress, settings.progress_port, bounds=BOUNDS)
        if lease is None:
            await controller.run()
            return
        if await _stopped_before(lease.acquire()):
            return
        await _while_held(lease, controller)


def _lease(settings: OperatorSettings, stack: AsyncExitStack) -> Lease | None:
    if not settings.leader_election:
        return None
    client = connect(
        SCHEME, user_agent=USER_AGENT, threads=1, read_seconds=LEASE_READ_SECONDS
    )  # its own client, so that other requests do not delay a renewal
    stack.callback(client.close)
    identity = f"{settings.pod_name}_{secrets.token_hex(4)}"  # a pod's container can restart under the same name
    return Lease(client, namespace=settings.pod_namespace, name=LEASE, identity=identity, clock=time.monotonic)


async def _while_held(lease: Lease, controller: Controller) -> None:
    keeping = asyncio.create_task(lease.keep(), name="lease")
    working = asyncio.create_task(controller.run(), name="controller")
    await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
    if keeping.done():
        keeping.result()  # raises: the process must end at once, without finishing its work
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    await lease.release()  # no write is in flight any more
    working.result()


async def _stopped_before(waiting: Coroutine[Any, Any, None]) -> bool:
    """Wait for a task, or for SIGTERM or SIGINT. Return whether it was a signal. kopf handles the signals after its start."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    tasks: tuple[asyncio.Task[Any], ...] = asyncio.create_task(waiting), asyncio.create_task(stopped.wait())
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    return stopped.is_set()


def _no_election() -> None:
    """Allow every write."""
