"""Who holds the Lease, over a dictionary that compares versions, with clocks that show different times."""

from datetime import UTC, datetime

import pytest
from sleeping import replace_sleep

from tunewright_runtime.errors import Conflict, Transient
from tunewright_runtime.lease import Lease, LeaseLostError, NotHeldError

AHEAD, BEHIND = datetime(2031, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)


class Cluster:
    """One Lease."""

    def __init__(self):
        self.lease, self.version, self.away, self.before_write = None, 0, False, None
        self.asked, self.wait = [], lambda: None

    def reach(self, verb):
        self.asked.append(verb)
        self.wait()
        if self.away:
            raise Transient("no answer")

    async def get(self, kind, namespace, name):
        self.reach("get")
        return self.lease

    async def create(self, kind, namespace, body):
        self.reach("create")
        if self.lease is not None:
            raise Conflict("it exists")
        return self.store(body["spec"])

    async def merge(self, kind, namespace, name, patch):
        self.reach("merge")
        if self.before_write:
            self.before_write()
        if self.lease is None or patch["metadata"]["resourceVersion"] != str(self.version):
            raise Conflict("the object has been modified")
        return self.store(self.lease["spec"] | patch["spec"])

    def store(self, spec):
        self.version += 1
        self.lease = {"metadata": {"uid": "l", "resourceVersion": str(self.version)}, "spec": spec}
        return self.lease


class Bench:
    """Two contenders on one cluster; each clock counts seconds from where it likes and shows another year."""

    def __init__(self):
        self.cluster, self.passed = Cluster(), 0.0
        self.one = self.contender("one", 5.0, AHEAD)
        self.two = self.contender("two", 9000.0, BEHIND)

    def contender(self, identity, offset, now):
        return Lease(self.cluster, namespace="system", name="op", identity=identity, clock=lambda: self.passed + offset, now=lambda: now)

    @property
    def spec(self):
        return self.cluster.lease["spec"]


@pytest.fixture
def bench():
    return Bench()


def holds(lease):
    try:
        lease.require()
    except NotHeldError:
        return False
    return True


async def test_the_first_candidate_gets_the_lease_with_its_standard_fields(bench):
    assert await bench.one._attempt()
    assert not await bench.two._attempt()
    assert (holds(bench.one), holds(bench.two), bench.two.holder) == (True, False, "one")
    assert bench.spec == {
        "holderIdentity": "one",
        "leaseDurationSeconds": 15,
        "acquireTime": "2031-01-01T00:00:00.000000Z",
        "renewTime": "2031-01-01T00:00:00.000000Z",
        "leaseTransitions": 0,
    }


async def test_a_holder_that_does_not_renew_stops_before_another_begins(bench):
    """At every second: never two, whatever the clocks show; and in the end the other."""
    await bench.one._attempt()
    taken_over = None
    for second in range(40):
        bench.passed = float(second)
        await bench.two._attempt()
        assert not (holds(bench.one) and holds(bench.two))
        if holds(bench.two) and taken_over is None:
            taken_over = second
    assert taken_over == 15
    assert (bench.spec["holderIdentity"], bench.spec["leaseTransitions"]) == ("two", 1)


async def test_a_holder_that_renews_keeps_the_lease(bench):
    for second in range(0, 60, 2):
        bench.passed = float(second)
        assert await bench.one._attempt()
        assert not await bench.two._attempt()
    assert bench.spec["leaseTransitions"] == 0


async def test_a_lease_expires_after_its_duration_since_it_was_first_read(bench):
    await bench.one._attempt()
    bench.passed = 14.0
    assert not await bench.two._attempt()  # reads it for the first time: it may have been renewed a moment ago
    bench.passed = 20.0
    assert not await bench.two._attempt()
    bench.passed = 29.0
    assert await bench.two._attempt()


async def test_only_one_of_two_candidates_can_take_over(bench):
    await bench.one._attempt()
    await bench.two._attempt()
    bench.passed = 20.0
    three = bench.contender("three", 1.0, AHEAD)

    def be_faster():
        bench.cluster.before_write = None
        bench.cluster.store(bench.spec | {"holderIdentity": "three"})

    bench.cluster.before_write = be_faster
    assert not await bench.two._attempt()
    assert not holds(bench.two)
    assert await three._attempt()


async def test_a_stopped_holder_releases_the_lease_at_once(bench):
    await bench.one._attempt()
    await bench.two._attempt()
    await bench.one.release()
    assert not holds(bench.one)
    assert await bench.two._attempt()
    await bench.one.release()  # nothing is let go that another holds
    assert (bench.spec["holderIdentity"], bench.spec["leaseDurationSeconds"]) == ("two", 15)


async def test_releasing_never_raises(bench, caplog):
    await bench.one._attempt()
    bench.cluster.away = True
    await bench.one.release()
    assert "expires in 15 s" in caplog.text


class EnoughError(Exception):
    """Nothing more happens in this story."""


@pytest.fixture
def until_told(bench, monkeypatch):
    """Keep the Lease while something happens at some seconds; return at which seconds it was held."""

    async def keep(story, *, seconds):
        held = []

        async def sleep(pause):
            for _ in range(int(pause)):
                bench.passed += 1.0
                story.get(bench.passed, lambda: None)()
                if holds(bench.one):
                    held.append(int(bench.passed))
            if bench.passed >= seconds:
                raise EnoughError

        replace_sleep(monkeypatch, "tunewright_runtime.lease", sleep)
        await bench.one.acquire()
        with pytest.raises((EnoughError, LeaseLostError)) as ended:
            await bench.one.keep()
        return held, ended.type is LeaseLostError

    return keep


async def test_a_holder_that_cannot_renew_waits_and_continues_if_no_other_has_worked(bench, until_told, caplog):
    def go():
        bench.cluster.away = True

    def come():
        bench.cluster.away = False

    held, lost = await until_told({3.0: go, 190.0: come}, seconds=200)
    assert (held, lost) == ([*range(1, 13), *range(191, 201)], False)  # renewed last at 2, and at 190
    assert "writes stop" in caplog.text
    assert "work continues" in caplog.text
    assert bench.spec["leaseTransitions"] == 0


@pytest.mark.parametrize("meanwhile", ["held", "let go", "deleted"])
async def test_a_holder_that_could_not_renew_ends_if_another_may_have_worked(bench, until_told, meanwhile):
    def go():
        bench.cluster.away = True

    def come():
        bench.cluster.away = False
        bench.cluster.store(bench.spec | {"holderIdentity": "two" if meanwhile == "held" else ""})
        if meanwhile == "deleted":
            bench.cluster.lease = None

    held, lost = await until_told({3.0: go, 60.0: come}, seconds=100)
    assert (held, lost) == (list(range(1, 13)), True)
    assert not holds(bench.one)


async def test_a_lease_that_another_process_took_is_lost_and_not_overwritten(bench, until_told):
    held, lost = await until_told({5.0: lambda: bench.cluster.store(bench.spec | {"holderIdentity": "two"})}, seconds=100)
    assert (max(held), lost) == (6, True)
    assert bench.spec["holderIdentity"] == "two"


async def test_a_deleted_lease_is_created_again(bench, until_told):
    def delete():
        bench.cluster.lease = None

    held, lost = await until_told({5.0: delete}, seconds=40)
    assert (held, lost) == (list(range(1, 41)), False)
    assert bench.spec["holderIdentity"] == "one"


async def test_waiting_continues_during_an_outage(bench, monkeypatch):
    async def sleep(seconds):
        bench.passed += seconds
        bench.cluster.away = bench.passed < 20

    replace_sleep(monkeypatch, "tunewright_runtime.lease", sleep)
    bench.cluster.away = True
    await bench.one.acquire()
    assert holds(bench.one)


async def test_a_renewal_is_one_write_and_reads_only_after_another_process_wrote(bench):
    await bench.one._attempt()
    assert await bench.one._attempt()
    assert bench.cluster.asked == ["get", "create", "merge"]
    bench.cluster.store(bench.spec)  # as the answer to a renewal that was lost
    assert await bench.one._attempt()
    assert bench.cluster.asked[3:] == ["merge", "get", "merge"]


@pytest.mark.parametrize(("held_always", "latency"), [(True, 0.0), (True, 1.0), (True, 4.0), (True, 4.9), (False, 5.5)])
async def test_a_holder_keeps_the_lease_if_answers_come_within_half_of_its_time(bench, monkeypatch, held_always, latency):
    held = []

    def wait():
        for _ in range(10):
            bench.passed += latency / 10
            held.append(holds(bench.one))

    async def sleep(pause):
        bench.passed += pause
        if bench.passed > 120:
            raise EnoughError

    bench.cluster.wait = wait
    replace_sleep(monkeypatch, "tunewright_runtime.lease", sleep)
    await bench.one.acquire()
    held.clear()
    with pytest.raises(EnoughError):
        await bench.one.keep()
    assert all(held) is held_always


@pytest.mark.parametrize(
    ("expected", "unanswered", "story"),
    [
        ("", False, "held"),
        ("waits for the Lease system/op for 7 s: it is held by two", False, "held by another"),
        ("waits for the Lease system/op for 7 s: it cannot be read or written: no answer", True, "never answered"),
        ("waits for the Lease system/op for 20 s: it cannot be read or written: no answer", False, "lost after it was held"),
    ],
)
async def test_why_and_since_when_it_is_not_held(bench, expected, unanswered, story):
    if story == "held by another":
        await bench.two._attempt()
    bench.cluster.away = story == "never answered"
    bench.passed += 7.0
    await bench.one._attempt()
    if story == "lost after it was held":
        bench.cluster.away = True
        bench.passed += 30.0
        await bench.one._attempt()
    assert bench.one.why_not_held() == expected
    assert bench.one.unanswered() == (expected if unanswered else "")
