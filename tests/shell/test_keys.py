"""Which events ask for work, and whose."""

import pytest

from tunewright.kube.cache import Cache, Place
from tunewright.reconcile.ports import Key
from tunewright.shell.keys import Keys

BOT = Key("demo", "bot")


def job(version=1, *, uid="1", generation=1, **meta):
    return {"metadata": {"namespace": "demo", "name": "bot", "uid": uid, "generation": generation, "resourceVersion": str(version), **meta}}


def child(version=1, *, uid="1"):
    labels = {"tunewright.io/job-uid": uid}
    meta = {"namespace": "demo", "name": "bot-check", "resourceVersion": str(version), "labels": labels}
    return {"metadata": meta, "status": {"active": version}}


@pytest.mark.parametrize(
    ("expected", "kind", "event"),
    [
        pytest.param(None, None, job(5), id="listed again, after a watch broke"),
        pytest.param(BOT, None, job(6, generation=2), id="listed again, and edited meanwhile"),
        pytest.param(None, "MODIFIED", job(4, generation=0), id="late"),
        pytest.param(None, "MODIFIED", job(6), id="our own status"),
        pytest.param(BOT, "MODIFIED", job(6, generation=2), id="an edited spec"),
        pytest.param(BOT, "MODIFIED", job(6, labels={"kueue.x-k8s.io/queue-name": "q"}), id="a label, which may be passed on"),
        pytest.param(BOT, "MODIFIED", job(6, deletionTimestamp="now"), id="a deletion under way"),
        pytest.param(BOT, "ADDED", job(6, uid="2"), id="a successor"),
        pytest.param(BOT, "DELETED", job(6), id="a deletion"),
        pytest.param(None, "DELETED", job(4), id="a deletion before this one was made"),
    ],
)
def test_what_a_jobs_event_asks_for(expected, kind, event):
    keys = Keys(Cache())
    assert keys.of_job("ADDED", job(5)) == BOT
    assert keys.of_job(kind, event) == expected


def test_a_child_wakes_its_job_while_that_is_there():
    keys = Keys(Cache())
    assert keys.of_child("Job", None, child(1)) is None
    keys.of_job("ADDED", job(2))
    assert keys.of_child("Job", "MODIFIED", child(3)) == BOT
    assert keys.of_child("Job", "MODIFIED", child(3)) is None  # told twice
    counted = child(4) | {"status": {"active": 3, "uncountedTerminatedPods": {"succeeded": ["p"]}}}
    assert keys.of_child("Job", "MODIFIED", counted) is None  # nothing that anybody reads
    assert keys.of_child("Job", "DELETED", child(5)) == BOT
    keys.of_job("DELETED", job(6))
    assert keys.of_child("Job", "ADDED", child(7)) is None


def test_what_we_have_written_ourselves_asks_for_nothing():
    cache = Cache()
    keys = Keys(cache)
    keys.of_job("ADDED", job(1))
    cache.put(child(2), "Job")
    assert keys.of_child("Job", "ADDED", child(2)) is None
    assert keys.of_child("Job", "MODIFIED", child(3)) == BOT  # somebody else's doing


def test_what_only_tells_whose_a_pod_is_wakes_nobody():
    cache = Cache()
    keys = Keys(cache)
    keys.of_job("ADDED", job(1))
    assert keys.of_child("ReplicaSet", "ADDED", child(2)) is None
    assert cache.get(Place("ReplicaSet", "demo", "bot-check"))
