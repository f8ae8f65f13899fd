"""What each kind of error makes of a key: when it comes back, and whether the failure is counted."""

import asyncio
import logging

import pytest

from tunewright_runtime.driver import CONFLICTS_IN_A_ROW, Driver, ReconcileResult
from tunewright_runtime.errors import Conflict, Gone, Transient
from tunewright_runtime.queue import Backoff, Queue


class Bench:
    """A driver with a scripted reconcile and a stopped clock."""

    def __init__(self, *outcomes: ReconcileResult | Exception) -> None:
        self.outcomes = list(outcomes)
        self.queue: Queue[str] = Queue(clock=lambda: 100.0, chance=lambda: 0.0, backoff=Backoff(first=1.0, jitter=0.0))
        self.driver = Driver(self.queue, self.reconcile)

    async def reconcile(self, key: str) -> ReconcileResult:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def once(self) -> None:
        self.queue.add("a")
        key = self.queue.take()
        assert key == "a"
        await self.driver.once(key)
        self.queue.done(key)


@pytest.mark.parametrize(
    ("due", "failures", "outcome"),
    [
        (None, 0, ReconcileResult()),
        (130.0, 0, ReconcileResult(requeue_after=30.0)),
        (None, 0, Gone("deleted")),
        (101.0, 1, Transient("503")),
        (107.0, 1, Transient("429", retry_after=7.0)),
        (101.0, 1, Transient("429", retry_after=0.1)),
        (101.0, 1, KeyError("a bug")),
    ],
    ids=["done", "done, look again", "gone", "transient", "transient, asked to wait", "never hastier than the backoff", "a bug"],
)
async def test_time_of_the_next_reconcile(due, failures, outcome):
    bench = Bench(outcome)
    await bench.once()
    assert bench.queue.next_due() == due
    assert bench.queue.failures("a") == failures
    assert bench.queue.take() is None


async def test_a_conflict_is_retried_at_once_for_a_few_times():
    bench = Bench(*[Conflict("409")] * (CONFLICTS_IN_A_ROW + 1))
    for _ in range(CONFLICTS_IN_A_ROW):
        await bench.once()
        assert bench.queue.next_due() is None
        assert bench.queue.take() == "a"
        bench.queue.done("a")
    await bench.once()
    assert bench.queue.next_due() == 101.0


async def test_success_resets_the_backoff():
    bench = Bench(Transient("503"), Transient("503"), ReconcileResult(), Transient("503"))
    for _ in range(4):
        await bench.once()
    assert bench.queue.failures("a") == 1


async def test_a_bug_is_logged_with_its_traceback(caplog):
    bench = Bench(KeyError("a bug"))
    with caplog.at_level(logging.ERROR):
        await bench.once()
    assert caplog.records[0].exc_info is not None
    assert "'a'" in caplog.text or " a " in caplog.text


async def test_a_key_has_one_worker_and_does_not_block_others():
    queue: Queue[str] = Queue(clock=lambda: asyncio.get_running_loop().time(), chance=lambda: 0.0)
    inside: list[str] = []
    most: dict[str, int] = {}
    release = asyncio.Event()
    others_done = asyncio.Event()

    async def reconcile(key: str) -> ReconcileResult:
        inside.append(key)
        most[key] = max(most.get(key, 0), inside.count(key))
        if key == "slow":
            await release.wait()
        else:
            others_done.set()
        inside.remove(key)
        return ReconcileResult()

    running = asyncio.create_task(Driver(queue, reconcile, workers=3).run())
    queue.add("slow")
    await asyncio.sleep(0)
    queue.add("slow")
    queue.add("quick")
    async with asyncio.timeout(10):
        await others_done.wait()
    release.set()
    while not queue.idle():  # noqa: ASYNC110 - the queue has no event for being idle
        await asyncio.sleep(0)
    queue.close()
    await running
    assert most == {"slow": 1, "quick": 1}


async def test_closing_waits_for_running_work():
    queue: Queue[str] = Queue(clock=lambda: 0.0, chance=lambda: 0.0)
    begun, finished = asyncio.Event(), []

    async def reconcile(key: str) -> ReconcileResult:
        begun.set()
        await asyncio.sleep(0.01)
        finished.append(key)
        return ReconcileResult()

    running = asyncio.create_task(Driver(queue, reconcile, workers=2).run())
    queue.add("a")
    await begun.wait()
    queue.close()
    await running
    assert finished == ["a"]
