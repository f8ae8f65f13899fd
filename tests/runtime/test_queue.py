"""The keyed queue: one worker per key, no lost wake-up, every key eventually worked on, nothing too early."""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tunewright_runtime.queue import ROUTINE_TURN, Backoff, Queue, QueueClosedError

KEYS = st.sampled_from(["a", "b", "c"])
DELAYS = st.sampled_from([0.0, 0.5, 1.0, 5.0])


class QueueContract(RuleBasedStateMachine):
    """Against a model of the queue: the keys that are due now, and those that are due later."""

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

    @rule(key=KEYS, routine=st.booleans())
    def add(self, key: str, routine: bool) -> None:
        self.queue.add(key, routine=routine)
        self.wished.add(key)

    @rule(key=KEYS, delay=DELAYS, routine=st.booleans())
    def add_after(self, key: str, delay: float, routine: bool) -> None:
        self.queue.add_after(key, delay, routine=routine)
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


def handed_out(queue: Queue[str]) -> list[str]:
    """Take everything that is in line; each is done with at once."""
    keys = []
    while (key := queue.take()) is not None:
        keys.append(key)
        queue.done(key)
    return keys


@pytest.mark.parametrize(
    ("expected", "ask"),
    [
        pytest.param("bca", lambda q: (q.add("a", routine=True), q.add("b"), q.add("c")), id="news comes first"),
        pytest.param(
            "ba", lambda q: (q.add("a", routine=True), q.add("b", routine=True), q.add("b")), id="news of what is in line as routine"
        ),
        pytest.param("ab", lambda q: (q.add("a"), q.add("b"), q.add("a", routine=True)), id="news stays news"),
        pytest.param("ba", lambda q: (q.add_after("a", 0, routine=True), q.add_after("b", 0)), id="when they fall due"),
        pytest.param(
            "ab", lambda q: (q.add_after("a", 0, routine=True), q.add_after("a", 9), q.add("b", routine=True)), id="asked for as news, too"
        ),
        pytest.param(
            "ba",
            lambda q: (q.add_after("a", 9, routine=True), q.add_after("a", 0, routine=True), q.add("b")),
            id="only asked for as routine",
        ),
    ],
)
def test_keys_of_events_come_before_routine_ones(expected, ask):
    queue: Queue[str] = Queue(clock=lambda: 0.0, chance=lambda: 0.0)
    ask(queue)
    assert "".join(handed_out(queue)) == expected


def test_routine_keys_get_a_turn_despite_many_events():
    queue: Queue[str] = Queue(clock=lambda: 0.0, chance=lambda: 0.0)
    queue.add("routine", routine=True)
    for number in range(3 * ROUTINE_TURN):
        queue.add(f"news {number}")
    assert handed_out(queue).index("routine") == ROUTINE_TURN - 1


@pytest.mark.parametrize(("expected", "again"), [("ab", [True, False]), ("ba", [True, True])], ids=["news", "routine only"])
def test_a_key_added_during_its_work_keeps_its_priority(expected, again):
    queue: Queue[str] = Queue(clock=lambda: 0.0, chance=lambda: 0.0)
    queue.add("a")
    queue.take()
    for routine in again:
        queue.add("a", routine=routine)
    queue.done("a")
    queue.add("b")
    assert "".join(handed_out(queue)) == expected


async def test_a_waiting_worker_gets_a_key_as_soon_as_it_is_added():
    queue = make_queue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    assert await waiting == "a"


async def test_a_waiting_worker_gets_a_delayed_key_when_it_is_due():
    queue = make_queue()
    queue.add_after("a", 0.01)
    async with asyncio.timeout(10):
        assert await queue.get() == "a"


async def test_an_earlier_delay_replaces_a_later_one():
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


async def test_closing_ends_waiting_workers_and_refuses_new_keys():
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
