"""What lists find that watches have not shown, and what may not be read."""

import asyncio

import pytest
from sleeping import replace_sleep

from tunewright.kube.kinds import WATCHED, new_cache
from tunewright_runtime.cache_sync import CacheSync, EventHandler, SyncLoop
from tunewright_runtime.errors import Forbidden, Transient
from tunewright_runtime.objects import Key, ObjectRef

BOT = ("demo", "bot")
CHECK = ObjectRef("Job", "demo", "bot-check")


def job(version=1):
    return {"metadata": {"namespace": "demo", "name": "bot", "uid": "u1", "resourceVersion": str(version)}}


def child(version=1):
    return {
        "metadata": {"namespace": "demo", "name": "bot-check", "resourceVersion": str(version), "labels": {"tunewright.io/job-uid": "u1"}},
        "status": {"active": version},
    }


class Cluster:
    """Has at most one object of a kind."""

    def __init__(self, version, **items):
        self.version, self.items, self.error, self.asked = version, items, None, []

    async def versions(self, kind, namespace, *, selector):
        self.asked.append((kind, namespace, selector))
        if self.error:
            raise self.error
        metas = [item["metadata"] for what, item in self.items.items() if what == kind]
        return {(meta["namespace"], meta["name"]): int(meta["resourceVersion"]) for meta in metas}, self.version

    async def probe(self, kind, namespace, *, selector):
        if self.error:
            raise self.error

    async def get(self, kind, namespace, name):
        return self.items.get(kind)


def cache_sync(cluster, *, shown=(), namespaces=(), read_cluster=False):
    cache, woken = new_cache(), []
    for kind, item in shown:
        cache.put(item, kind)
    return CacheSync(cluster, cache, namespaces=namespaces, wake=woken.append, read_cluster=read_cluster), cache, woken


@pytest.mark.parametrize(
    ("missed", "woken", "version", "cluster", "shown"),
    [
        pytest.param(0, [], 3, Cluster(9, Job=child(3)), child(3), id="shown"),
        pytest.param(0, [], 5, Cluster(4, Job=child(3)), child(5), id="shown, and changed since"),
        pytest.param(1, [BOT], 3, Cluster(9, Job=child(3)), None, id="not shown"),
        pytest.param(1, [BOT], 3, Cluster(9, Job=child(3)), child(2), id="a change not shown"),
        pytest.param(0, [BOT], 9, Cluster(9), child(3), id="a deletion not shown"),
        pytest.param(0, [], 12, Cluster(9), child(12), id="made after the list"),
    ],
)
async def test_comparisons_of_list_and_cache(missed, woken, version, cluster, shown):
    subject, cache, heard = cache_sync(cluster, shown=[("FineTuneJob", job()), *([("Job", shown)] if shown else [])])
    assert await subject.compare("Job", patience=0.0) == missed
    assert (heard, cache.version(CHECK)) == (woken, version)
    assert cluster.asked == [("Job", "", "tunewright.io/job-uid")]


async def test_a_job_that_no_watch_has_shown_is_reconciled():
    subject, cache, heard = cache_sync(Cluster(9, FineTuneJob=job(3)))
    assert await subject.compare("FineTuneJob", patience=0.0) == 1
    assert (heard, cache.primary_keys()) == ([BOT], [BOT])
    assert await subject.compare("FineTuneJob", patience=0.0) == 0


async def test_an_object_deleted_between_list_and_fetch_is_not_missing():
    cluster = Cluster(9, Job=child(3))
    subject, cache, _ = cache_sync(cluster)

    async def nothing(*_):
        return None

    cluster.get = nothing
    await subject.compare("Job", patience=0.0)
    assert cache.get(CHECK) is None


async def test_the_comparison_waits_for_a_watch_that_makes_progress():
    subject, cache, _ = cache_sync(Cluster(9, Job=child(3)))
    comparing = asyncio.create_task(subject.compare("Job", patience=60.0))
    await asyncio.sleep(0)
    cache.put(child(3), "Job")
    assert await comparing == 0


@pytest.mark.parametrize(("pause", "pods"), [(0.1, 10), (0.3, 2_000)])
async def test_many_arriving_objects_are_compared_less_often(monkeypatch, pause, pods):
    """Twenty thousand pods looked for ten times a second would keep the operator busy when it starts among them."""
    cluster = Cluster(9)
    subject, cache, _ = cache_sync(cluster)
    pauses = []

    async def all_pods(*_, **__):
        return {("demo", f"p{number}"): 3 for number in range(pods)}, 9

    async def sleep(seconds):
        pauses.append(seconds)
        for number in range(pods):
            cache.put({"metadata": child(3)["metadata"] | {"name": f"p{number}"}}, "Pod")

    cluster.versions = all_pods
    replace_sleep(monkeypatch, "tunewright_runtime.cache_sync", sleep)
    assert await subject.compare("Pod", patience=60.0) == 0
    assert [round(seconds, 1) for seconds in pauses] == [pause]


@pytest.mark.parametrize(
    ("asked", "missed", "known", "how"),
    [
        pytest.param(["other"], 0, 3, {"namespaces": ("other",)}, id="a list of each namespace"),
        pytest.param([""], 0, 9, {"namespaces": ("other",), "read_cluster": True}, id="one list of the cluster"),
        pytest.param([""], 0, 9, {}, id="all namespaces"),
    ],
)
async def test_lists_by_namespace_and_of_the_cluster(asked, missed, known, how):
    cluster = Cluster(9)
    subject, cache, _ = cache_sync(cluster, shown=[("Job", child(3))], **how)
    assert await subject.compare("Job", patience=0.0) == missed
    assert cache.version(CHECK) == known  # 9: it is not in the list, so it is gone
    assert cluster.asked == [("Job", namespace, "tunewright.io/job-uid") for namespace in asked]


@pytest.mark.parametrize(("missed", "namespace"), [(1, "demo"), (0, "other")])
async def test_a_list_of_the_cluster_adds_only_watched_namespaces(missed, namespace):
    subject, cache, _ = cache_sync(Cluster(9, Job=child(3)), namespaces=(namespace,), read_cluster=True)
    assert await subject.compare("Job", patience=0.0) == missed
    assert cache.size() == missed


@pytest.mark.parametrize(("key", "namespaces"), [(Key(*BOT), ()), (Key(*BOT), ("demo", "other")), (None, ("other",))])
def test_events_of_other_namespaces_are_ignored(key, namespaces):
    cache = new_cache()
    events = EventHandler(cache, namespaces=namespaces)
    assert events.on_primary("ADDED", job()) == key
    assert events.on_child("Job", "ADDED", child()) == key
    assert cache.size() == (2 if key else 0)


async def test_work_begins_when_every_kind_was_compared_or_is_forbidden():
    cluster = Cluster(9)
    subject, _, _ = cache_sync(cluster)
    for kind in WATCHED[:-1]:
        await subject.compare(kind)
    assert (subject.has_synced(), subject.unsynced()) == (False, [WATCHED[-1]])
    cluster.error = Transient("503")
    with pytest.raises(Transient):
        await subject.compare(WATCHED[-1])
    assert not subject.has_synced()
    cluster.error = Forbidden("pods")
    with pytest.raises(Forbidden):
        await subject.compare(WATCHED[-1])
    await subject.wait_for_sync()


async def test_a_forbidden_kind_is_reported_for_every_job_until_it_can_be_read():
    cluster = Cluster(9)
    subject, _, heard = cache_sync(cluster, shown=[("FineTuneJob", job(20))])
    await subject.require_readable()
    cluster.error = Forbidden("cannot list pods")
    for _ in range(2):
        with pytest.raises(Forbidden):
            await subject.probe("Pod")
    assert heard == [BOT]
    with pytest.raises(Forbidden, match="pods"):
        await subject.require_readable()
    cluster.error = None
    await subject.probe("Pod")
    await subject.require_readable()
    assert heard == [BOT, BOT]


@pytest.mark.parametrize("error", [None, Transient("503")])
async def test_a_short_refusal_is_no_missing_right_but_blocks_decisions_until_compared(error):
    cluster = Cluster(9)
    subject, _, heard = cache_sync(cluster, shown=[("FineTuneJob", job(20))])
    cluster.error = Forbidden("cannot list pods")
    with pytest.raises(Forbidden):
        await subject.compare("Pod")
    cluster.error = error
    with pytest.raises(Transient) as raised:
        await subject.require_readable()
    assert not isinstance(raised.value, Forbidden)
    cluster.error = None
    await subject.compare("Pod")
    await subject.require_readable()
    assert heard == [BOT, BOT]


async def test_the_loop_compares_probes_and_continues_after_an_error(monkeypatch):
    done, pauses = [], []

    class Subject:
        async def compare(self, kind):
            done.append("compare")
            return 0

        async def probe(self, kind):
            done.append("probe")
            if len(done) == 3:
                raise Transient("503")

    async def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    replace_sleep(monkeypatch, "tunewright_runtime.cache_sync", sleep)
    loop = SyncLoop(Subject(), "Pod", every=120.0, probe_every=30.0, report=lambda *told: done.append(told))
    with pytest.raises(asyncio.CancelledError):
        await loop.run()
    compared = ["compare", ("Pod", 0)]
    assert done == [*compared, "probe", *compared, "probe", "probe", "probe"]
    assert pauses == [30.0, 1.0, 30.0, 30.0, 30.0, 30.0]
