"""The keyed queue: one worker per key, no lost wake-up, every key eventually worked on, nothing too early."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tunewright.reconcile.backoff import Backoff
from tunewright.reconcile.queue import Queue, QueueClosedError

KEYS = st.sampled_from(["a", "b", "c"])
DELAYS = st.sampled_from([0.0, 0.5, 1.0, 5.0])


class QueueContract(RuleBasedStateMachine):
    """Against a model that knows only what was asked for: which keys are wished for now, and which from when on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue: Queue[str] = Queue(clock=lambda: self.now, chance=lambda: 0.0, backoff=Backoff(first=1.0, jitter=0.0))
        self.wished: set[str] = set()
        self.later: dict[str, float] = {}  # of several delayed wishes the earliest counts
        self.working: set[str] = set()
        self.failures: dict[str, int] = {}

    def delayed(self, key: str, delay: float) -> None:
        self.later[key] = min(self.now + delay, self.later.get(key, float("inf")))

    @rule(key=KEYS)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.wished.add(key)

    @rule(key=KEYS, delay=DELAYS)
    def add_after(self, key: str, delay: float) -> None:
        self.queue.add_after(key, delay)
        self.delayed(key, delay)

    @rule(key=KEYS)
    def retry(self, key: str) -> None:
        self.failures[key] = self.failures.get(key, 0) + 1
        delay = min(2.0 ** (self.failures[key] - 1), 300.0)
        assert self.queue.retry(key) == delay
        self.delayed(key, delay)

    @rule(key=KEYS)
    def forget(self, key: str) -> None:
        self.queue.forget(key)
        self.failures.pop(key, None)

    @rule(seconds=DELAYS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        for due in [key for key, since in self.later.items() if since <= self.now]:
            del self.later[due]
            self.wished.add(due)
        key = self.queue.take()
        if key is None:
            assert self.wished <= self.working, "a key that was due was not handed out"
            return
        assert key not in self.working, "two workers have one key"
        assert key in self.wished, "handed out too early, or without a wish"
        self.wished.discard(key)
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.discard(key)

    @invariant()
    def failures_are_counted_in_a_row(self) -> None:
        for key in "abc":
            assert self.queue.failures(key) == self.failures.get(key, 0)

    def teardown(self) -> None:
        """No wish is ever lost: let everything finish, and each key that was still wished for comes out."""
        for key in sorted(self.working):
            self.queue.done(key)
        self.working.clear()
        self.now += 10_000.0
        handed_out = set()
        while (key := self.queue.take()) is not None:
            handed_out.add(key)
            self.queue.done(key)
        assert handed_out == self.wished | set(self.later)
        assert self.queue.idle()


TestQueueContract = QueueContract.TestCase
TestQueueContract.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def make_queue() -> Queue[str]:
    return Queue(clock=lambda: asyncio.get_running_loop().time(), chance=lambda: 0.0)


async def test_a_waiting_worker_gets_a_key_as_soon_as_it_is_added():
    queue = make_queue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_waiting_worker_gets_a_delayed_key_without_being_woken():
    queue = make_queue()
    queue.add_after("a", 0.01)
    async with asyncio.timeout(10):
        assert await queue.get() == "a"


async def test_an_earlier_wish_shortens_the_wait_for_a_later_one():
    queue = make_queue()
    queue.add_after("a", 3600)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_after("a", 0.01)
    async with asyncio.timeout(10):
        assert await waiting == "a"


async def test_many_workers_share_the_keys():
    queue = make_queue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in ("a", "b", "c"):
        queue.add(key)
    assert set(await asyncio.gather(*waiting)) == {"a", "b", "c"}


async def test_closing_ends_every_waiting_worker_and_refuses_new_keys():
    queue = make_queue()
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.close()
    for task in waiting:
        with pytest.raises(QueueClosedError):
            await task
    queue.add("a")
    queue.add_after("b", 0)
    assert queue.idle()


@pytest.mark.parametrize(
    ("want", "failures", "chance"),
    [
        (1.0, 1, 0.0),
        (2.0, 2, 0.0),
        (8.0, 4, 0.0),
        (60.0, 7, 0.0),
        (60.0, 100_000, 0.0),
        (1.0, 0, 0.0),
        (0.75, 1, 0.5),
    ],
    ids=["the first failure", "doubles", "and doubles", "up to a ceiling", "however many", "none counts as one", "jitter shortens"],
)
def test_backoff(want: float, failures: int, chance: float):
    assert Backoff(first=1.0, ceiling=60.0, jitter=0.5).delay(failures, chance) == want
