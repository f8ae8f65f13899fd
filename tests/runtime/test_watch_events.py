"""Which events ask for work, and whose."""

import pytest

from tunewright.kube.kinds import new_cache
from tunewright_runtime.cache_sync import EventHandler
from tunewright_runtime.objects import Key, ObjectRef

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
def test_events_of_a_job_that_cause_a_reconcile(expected, kind, event):
    events = EventHandler(new_cache())
    assert events.on_primary("ADDED", job(5)) == BOT
    assert events.on_primary(kind, event) == expected


def test_a_child_causes_a_reconcile_of_its_existing_job():
    events = EventHandler(new_cache())
    assert events.on_child("Job", None, child(1)) is None
    events.on_primary("ADDED", job(2))
    assert events.on_child("Job", "MODIFIED", child(3)) == BOT
    assert events.on_child("Job", "MODIFIED", child(3)) is None  # a repeated event
    counted = child(4) | {"status": {"active": 3, "uncountedTerminatedPods": {"succeeded": ["p"]}}}
    assert events.on_child("Job", "MODIFIED", counted) is None  # no field that is read
    assert events.on_child("Job", "DELETED", child(5)) == BOT
    events.on_primary("DELETED", job(6))
    assert events.on_child("Job", "ADDED", child(7)) is None


def test_own_writes_cause_no_reconcile():
    cache = new_cache()
    events = EventHandler(cache)
    events.on_primary("ADDED", job(1))
    cache.put(child(2), "Job")
    assert events.on_child("Job", "ADDED", child(2)) is None
    assert events.on_child("Job", "MODIFIED", child(3)) == BOT  # another client's change


def test_replica_sets_cause_no_reconcile():
    cache = new_cache()
    events = EventHandler(cache)
    events.on_primary("ADDED", job(1))
    assert events.on_child("ReplicaSet", "ADDED", child(2)) is None
    assert cache.get(ObjectRef("ReplicaSet", "demo", "bot-check"))
