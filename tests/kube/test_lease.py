"""Who holds the Lease, over a dictionary that compares versions, with clocks that show different times."""

from datetime import UTC, datetime

import pytest

from tunewright.errors import Conflict, Transient
from tunewright.kube.lease import Lease, LeaseLostError

AHEAD, BEHIND = datetime(2031, 1, 1, tzinfo=UTC), datetime(2001, 1, 1, tzinfo=UTC)


class Cluster:
    """One Lease."""

    def __init__(self):
        self.lease, self.version, self.away, self.before_write = None, 0, False, None

    def reach(self):
        if self.away:
            raise Transient("no answer")

    async def get(self, kind, namespace, name):
        self.reach()
        return self.lease

    async def create(self, kind, namespace, body):
        self.reach()
        if self.lease is not None:
            raise Conflict("it exists")
        return self.store(body["spec"])

    async def merge(self, kind, namespace, name, patch):
        self.reach()
        if self.before_write:
            self.before_write()
        if patch["metadata"]["resourceVersion"] != str(self.version):
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
    except LeaseLostError:
        return False
    return True


async def test_the_first_to_ask_holds_it_with_the_standard_fields(bench):
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


async def test_whoever_does_not_renew_stops_before_another_begins(bench):
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


async def test_whoever_renews_keeps_it(bench):
    for second in range(0, 60, 2):
        bench.passed = float(second)
        assert await bench.one._attempt()
        assert not await bench.two._attempt()
    assert bench.spec["leaseTransitions"] == 0


async def test_what_was_seen_is_counted_from_when_it_was_seen(bench):
    await bench.one._attempt()
    bench.passed = 14.0
    assert not await bench.two._attempt()  # sees it for the first time: it may have been renewed a moment ago
    bench.passed = 20.0
    assert not await bench.two._attempt()
    bench.passed = 29.0
    assert await bench.two._attempt()


async def test_of_two_who_take_over_at_once_one_is_refused(bench):
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


async def test_who_is_told_to_stop_lets_go_at_once(bench):
    await bench.one._attempt()
    await bench.two._attempt()
    await bench.one.release()
    assert not holds(bench.one)
    assert await bench.two._attempt()
    await bench.one.release()  # nothing is let go that another holds
    assert (bench.spec["holderIdentity"], bench.spec["leaseDurationSeconds"]) == ("two", 15)


async def test_letting_go_never_fails(bench, caplog):
    await bench.one._attempt()
    bench.cluster.away = True
    await bench.one.release()
    assert "runs out in 15 s" in caplog.text


@pytest.mark.parametrize("harm", ["away", "stolen"])
async def test_keeping_it_ends_when_it_is_lost(bench, monkeypatch, harm):
    async def sleep(seconds):
        bench.passed += seconds

    monkeypatch.setattr("tunewright.kube.lease.asyncio.sleep", sleep)
    await bench.one.acquire()
    if harm == "away":
        bench.cluster.away = True
    else:
        bench.cluster.store(bench.spec | {"holderIdentity": "two"})
    with pytest.raises(LeaseLostError):
        await bench.one.keep()
    assert bench.passed <= 12.0


async def test_waiting_for_it_outlasts_an_api_server_that_is_away(bench, monkeypatch):
    async def sleep(seconds):
        bench.passed += seconds
        bench.cluster.away = bench.passed < 20

    monkeypatch.setattr("tunewright.kube.lease.asyncio.sleep", sleep)
    bench.cluster.away = True
    await bench.one.acquire()
    assert holds(bench.one)
