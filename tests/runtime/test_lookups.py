"""Lookups of the objects that jobs name: which are cached, and which never are."""

import json
import tracemalloc

import pytest

from tunewright_runtime import lookups as module
from tunewright_runtime.errors import Forbidden
from tunewright_runtime.lookups import REMEMBER_SECONDS, Lookups

CLAIM = {
    "kind": "PersistentVolumeClaim",
    "metadata": {"name": "corpora", "uid": "1", "annotations": {"long": "x"}},
    "spec": {"accessModes": ["ReadWriteMany"], "resources": {}},
    "status": {"phase": "Bound"},
}
SECRET = {"kind": "Secret", "metadata": {"name": "hub"}, "data": {"token": "c2VjcmV0"}}


class Cluster:
    def __init__(self, found):
        self.found, self.asked = found, 0

    async def get(self, kind, namespace, name):
        self.asked += 1
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


async def times_asked(found, times=3, **between):
    now = [0.0]
    cluster = Cluster(found)
    lookups = Lookups(cluster, clock=lambda: now[0])
    for _ in range(times):
        await lookups.of("u1").get("X", "demo", "x")
        now[0] += between.get("seconds", 1.0)
    return cluster.asked


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        pytest.param(1, CLAIM, id="there"),
        pytest.param(1, SECRET, id="a Secret"),
        pytest.param(3, None, id="not there"),
        pytest.param(2, CLAIM | {"status": {"phase": "Pending"}}, id="without a volume yet"),
        pytest.param(3, CLAIM | {"status": {"phase": "Lost"}}, id="its volume is gone"),
        pytest.param(3, CLAIM | {"metadata": {"name": "corpora", "deletionTimestamp": "now"}}, id="being deleted"),
    ],
)
async def test_only_existing_usable_objects_are_cached(expected, found):
    assert await times_asked(found, seconds=40.0) == expected


async def test_cached_objects_expire():
    assert await times_asked(CLAIM, seconds=REMEMBER_SECONDS + 1) == 3


async def test_cached_objects_have_only_read_fields_and_no_secret_values():
    lookups = Lookups(Cluster(SECRET), clock=lambda: 0.0)
    answers = [await lookups.of("u1").get("Secret", "demo", "hub") for _ in range(2)]
    assert answers == [SECRET, {"metadata": {"name": "hub"}, "data": {"token": ""}}]
    lookups = Lookups(Cluster(CLAIM), clock=lambda: 0.0)
    answers = [await lookups.of("u1").get("PersistentVolumeClaim", "demo", "corpora") for _ in range(2)]
    assert answers == [CLAIM, {"metadata": {"name": "corpora"}, "spec": {"accessModes": ["ReadWriteMany"]}}]


async def test_each_job_has_its_own_lookups():
    cluster = Cluster(CLAIM)
    lookups = Lookups(cluster, clock=lambda: 0.0)
    for uid in ("u1", "u2", "u1"):
        await lookups.of(uid).get("X", "demo", "x")
    assert cluster.asked == 2


async def test_an_object_that_many_jobs_name_is_stored_once():
    class Telling:
        async def get(self, *_):
            return json.loads(text)

    text = json.dumps(SECRET | {"data": {f"key{number}": "" for number in range(300)}})
    lookups = Lookups(Telling(), clock=lambda: 0.0)
    tracemalloc.start()
    try:
        for number in range(30):
            await lookups.of(f"u{number}").get("Secret", "demo", "hub")
        assert tracemalloc.get_traced_memory()[0] < 10 * len(text)
    finally:
        tracemalloc.stop()


async def test_an_error_is_raised_and_not_cached():
    lookups = Lookups(Cluster(Forbidden("secrets")), clock=lambda: 0.0)
    for _ in range(2):
        with pytest.raises(Forbidden):
            await lookups.of("u1").get("Secret", "demo", "hub")


async def test_the_least_recently_used_job_is_dropped(monkeypatch):
    monkeypatch.setattr(module, "REMEMBER_AT_MOST", 2)
    cluster = Cluster(CLAIM)
    lookups = Lookups(cluster, clock=lambda: 0.0)
    for uid in ("u1", "u2", "u1", "u3", "u1"):
        await lookups.of(uid).get("X", "demo", "x")
    assert cluster.asked == 3
    await lookups.of("u2").get("X", "demo", "x")
    assert cluster.asked == 4


async def test_a_job_with_an_error_is_looked_up_again():
    cluster = Cluster(SECRET)
    lookups = Lookups(cluster, clock=lambda: 0.0)
    await lookups.of("u1").get("Secret", "demo", "hub")
    lookups.forget("u1")
    await lookups.of("u1").get("Secret", "demo", "hub")
    assert cluster.asked == 2
