"""The operator process: its ports, its Lease, and the work while it holds the Lease (leading.py)."""

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
from tunewright.reconcile.progress import Limits
from tunewright.reconcile.progress import application as progress_application
from tunewright.shell.health import application as health_application
from tunewright.shell.leading import Leading
from tunewright.shell.settings import Settings
from tunewright_runtime.client import connect
from tunewright_runtime.lease import Lease
from tunewright_runtime.listening import serve

LEASE = "tunewright-operator"
USER_AGENT = "tunewright-operator"  # in the API server's audit log
LEASE_READ_SECONDS = 4.0  # for one request about the Lease: two of them fit between a renewal and its deadline

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises whatever ends the watches or the workers: the kubelet is to start the process again.

    With leader election, work begins when the Lease is held, and pauses while it cannot be renewed. Raises LeaseLostError when another
    has taken it.
    """
    async with AsyncExitStack() as stack:
        lease = _lease(settings, stack)
        client = connect(
            SCHEME, user_agent=USER_AGENT, threads=max(settings.workers, 8), may_write=lease.require if lease else _no_election
        )
        stack.callback(client.close)
        leading = Leading(settings, client, clock=time.monotonic, chance=random.random)

        def standing_by() -> list[str]:
            return [f"{settings.pod_name} waits for the Lease {settings.pod_namespace}/{LEASE}"] if lease and not lease.held() else []

        await serve(stack, health_application(leading.health, leading.metrics, standing_by=standing_by), settings.health_port)
        progress = progress_application(
            leading.board, leading.world, wake=leading.wake_later, ready=leading.ready, limits=Limits(clock=time.monotonic)
        )
        await serve(stack, progress, settings.progress_port)
        if lease is None:
            await leading.run()
            return
        if await _told_to_stop(lease.acquire()):
            return
        await _while_held(lease, leading)


def _lease(settings: Settings, stack: AsyncExitStack) -> Lease | None:
    if not settings.leader_election:
        return None
    client = connect(
        SCHEME, user_agent=USER_AGENT, threads=1, read_seconds=LEASE_READ_SECONDS
    )  # its own: renewing waits behind nothing else
    stack.callback(client.close)
    identity = f"{settings.pod_name}_{secrets.token_hex(4)}"  # a pod's container may be started anew under the same name
    return Lease(client, namespace=settings.pod_namespace, name=LEASE, identity=identity, clock=time.monotonic)


async def _while_held(lease: Lease, leading: Leading) -> None:
    keeping = asyncio.create_task(lease.keep(), name="lease")
    working = asyncio.create_task(leading.run(), name="leading")
    await asyncio.wait({keeping, working}, return_when=asyncio.FIRST_COMPLETED)
    if keeping.done():
        keeping.result()  # raises: the process is to end at once, without finishing anything
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
    await lease.release()  # nothing is being written any more
    working.result()


async def _told_to_stop(waiting: Coroutine[Any, Any, None]) -> bool:
    """Wait for something, or for SIGTERM or SIGINT; say whether it was a signal. kopf takes the signals over when it starts."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    tasks: tuple[asyncio.Task[Any], ...] = asyncio.create_task(waiting), asyncio.create_task(told.wait())
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
    return told.is_set()


def _no_election() -> None:
    """Allow every write."""
