"""The controllers' decisions without processes: created pods, deleted pods, and status."""

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest

from tunewright.local import deployment_controller, job_controller
from tunewright.local.store import timestamp
from tunewright_runtime.errors import Invalid

INDEX = "batch.kubernetes.io/job-completion-index"


@pytest.fixture
def suffix():
    numbers = itertools.count()
    return lambda: f"r{next(numbers)}"


def make_job(*, status: dict | None = None, **spec: Any) -> dict:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job", "namespace": "default", "uid": "job-uid", "generation": 1},
        "spec": {
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "c", "env": [{"name": "A", "value": "1"}]}]},
            },
            **spec,
        },
        "status": status or {},
    }


def make_pod(
    phase: str = "Running",
    *,
    index: int = 0,
    code: int | None = None,
    conditions: tuple = (),
    ended: datetime | None = None,
    deleted: bool = False,
    name: str = "",
) -> dict:
    state = {} if code is None else {"terminated": {"exitCode": code, "finishedAt": timestamp(ended) if ended else "2026-01-02T03:04:00Z"}}
    meta: dict[str, Any] = {
        "name": name or f"job-{index}-x",
        "namespace": "default",
        "annotations": {INDEX: str(index)},
        "labels": {},
        "creationTimestamp": "2026-01-02T03:00:00Z",
    }
    return {
        "kind": "Pod",
        "metadata": meta | ({"deletionTimestamp": "2026-01-02T03:04:00Z"} if deleted else {}),
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "c", "state": state}],
            "conditions": [{"type": kind, "status": "True", "lastTransitionTime": "2026-01-02T03:00:00Z"} for kind in conditions],
        },
    }


INDEXED = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}


@pytest.mark.parametrize(
    ("created", "spec", "pods"),
    [
        (["job-r0"], {}, []),
        (["job-0-r0", "job-1-r1", "job-2-r2"], INDEXED, []),
        (["job-0-r0"], INDEXED | {"parallelism": 1}, []),
        (["job-1-r0"], INDEXED, [make_pod(index=0), make_pod("Succeeded", index=2)]),
        ([], INDEXED, [make_pod(index=0), make_pod(index=1), make_pod(index=2)]),
        ([], {"suspend": True}, []),
        (["job-r0"], {}, [make_pod(deleted=True)]),
        ([], {"podReplacementPolicy": "Failed"}, [make_pod(deleted=True)]),
    ],
    ids=[
        "a pod",
        "a pod per index",
        "no more at once than parallelism",
        "only missing indexes",
        "nothing missing",
        "suspended",
        "one leaves: replaced",
        "one leaves: waited for",
    ],
)
def test_pods_that_a_job_creates(now, suffix, created, spec, pods):
    decision = job_controller.sync(make_job(**spec), pods, now=now, suffix=suffix)
    assert [pod["metadata"]["name"] for pod in decision.create] == created
    assert decision.delete == []


def test_a_pod_has_its_jobs_labels_and_its_index(now, suffix):
    _, pod, _ = job_controller.sync(make_job(**INDEXED), [], now=now, suffix=suffix).create
    meta = pod["metadata"]
    assert meta["ownerReferences"][0]["uid"] == "job-uid"
    assert meta["labels"] == {
        "app": "x",
        "batch.kubernetes.io/job-name": "job",
        "job-name": "job",
        "batch.kubernetes.io/controller-uid": "job-uid",
        "controller-uid": "job-uid",
        INDEX: "1",
    }
    assert meta["annotations"][INDEX] == "1"
    assert pod["spec"]["hostname"] == "job-1"
    assert [entry["name"] for entry in pod["spec"]["containers"][0]["env"]] == ["JOB_COMPLETION_INDEX", "A"]


POLICY = {"podFailurePolicy": {"rules": [
    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [64, 65]}},
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [64, 65, 75, 137]}},
]}}  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "spec", "pods"),
    [
        (None, {"backoffLimit": 1}, [make_pod("Failed", code=75)]),
        ("BackoffLimitExceeded", {"backoffLimit": 0}, [make_pod("Failed", code=75)]),
        ("BackoffLimitExceeded", {"backoffLimit": 1}, [make_pod("Failed", code=75), make_pod("Failed", code=1)]),
        ("PodFailurePolicy", POLICY, [make_pod("Failed", code=65)]),
        ("PodFailurePolicy", POLICY, [make_pod("Failed", code=70)]),
        (None, POLICY, [make_pod("Failed", code=137)]),
        (None, POLICY | {"backoffLimit": 0}, [make_pod("Failed", code=137, conditions=("DisruptionTarget",))]),
        ("PodFailurePolicy", POLICY, [make_pod("Failed", code=64, conditions=("DisruptionTarget",))]),
        ("DeadlineExceeded", {"activeDeadlineSeconds": 60, "status": {"startTime": "2026-01-02T03:03:05Z"}}, [make_pod()]),
        (None, {"activeDeadlineSeconds": 61, "status": {"startTime": "2026-01-02T03:03:05Z"}}, [make_pod()]),
    ],
    ids=[
        "within the limit",
        "over the limit",
        "over the limit by two",
        "an exit code",
        "an exit code not listed",
        "counted",
        "ignored",
        "the first rule wins",
        "too late",
        "just in time",
    ],
)
def test_conditions_of_a_failed_job(now, suffix, reason, spec, pods):
    decision = job_controller.sync(make_job(**spec), pods, now=now, suffix=suffix)
    failed = {entry["type"]: entry["reason"] for entry in decision.status.get("conditions", ())}
    assert failed.get("FailureTarget") == reason
    assert ("Failed" in failed) == (reason is not None and pods[0]["status"]["phase"] == "Failed")


def test_a_job_fails_only_after_its_last_pod_has_ended(now, suffix):
    job = make_job(**INDEXED, backoffLimit=0)
    pods = [make_pod("Failed", index=0, code=1), make_pod(index=1), make_pod(index=2, deleted=True)]
    decision = job_controller.sync(job, pods, now=now, suffix=suffix)
    assert (decision.delete, decision.create) == (["job-1-x"], [])
    assert [entry["type"] for entry in decision.status["conditions"]] == ["FailureTarget"]
    after = job_controller.sync(job | {"status": decision.status}, pods[:1], now=now + timedelta(seconds=9), suffix=suffix)
    assert {entry["type"]: entry["lastTransitionTime"] for entry in after.status["conditions"]} == {
        "FailureTarget": "2026-01-02T03:04:05Z",
        "Failed": "2026-01-02T03:04:14Z",
    }


def test_a_finished_job_does_not_change_with_its_pods(now, suffix):
    job = make_job(status={"conditions": [{"type": "Complete", "status": "True"}], "succeeded": 1})
    decision = job_controller.sync(job, [], now=now, suffix=suffix)
    assert (decision.status, decision.create, decision.delete) == (job["status"], [], [])


@pytest.mark.parametrize(("seconds", "created"), [(0, 0), (1, 0), (2, 1)], ids=["at once", "too early", "after the backoff"])
def test_failed_pods_are_replaced_after_a_growing_backoff(now, suffix, seconds, created):
    pods = [make_pod("Failed", code=75, ended=now - timedelta(seconds=9)), make_pod("Failed", code=75, ended=now)]
    decision = job_controller.sync(make_job(), pods, now=now + timedelta(seconds=seconds), suffix=suffix)
    assert len(decision.create) == created


def test_a_disrupted_pod_is_replaced_at_once(now, suffix):
    pods = [make_pod("Failed", code=143, conditions=("DisruptionTarget",), ended=now)]
    assert len(job_controller.sync(make_job(**POLICY), pods, now=now, suffix=suffix).create) == 1


@pytest.mark.parametrize("field", ["backoffLimitPerIndex", "successPolicy", "maxFailedIndexes"])
def test_unsupported_fields_are_refused(field):
    with pytest.raises(Invalid, match=f"{field} is not supported"):
        job_controller.check(make_job(**{field: 1}))


@pytest.mark.parametrize(("want", "indexes"), [("", set()), ("0", {0}), ("0-2,4", {0, 1, 2, 4}), ("1,3,5-6", {6, 5, 3, 1})])
def test_completed_indexes(want, indexes):
    assert job_controller.intervals(indexes) == want


def make_deployment(replicas: int = 1, *, image: str = "one", status: dict | None = None, **spec: Any) -> dict:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "serve", "namespace": "default", "uid": "d", "generation": 3},
        "spec": {
            "replicas": replicas,
            "template": {"metadata": {"labels": {}}, "spec": {"containers": [{"name": "c", "image": image}]}},
            **spec,
        },
        "status": status or {},
    }


def server(image: str, number: int, *, ready: bool = True) -> dict:
    pod = make_pod(name=f"{image}-{number}", conditions=("Ready",) if ready else ())
    pod["metadata"]["labels"][deployment_controller.HASH] = deployment_controller.template_hash(make_deployment(image=image))
    return pod


SURGE = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
EITHER = {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}}


@pytest.mark.parametrize(
    ("created", "deleted", "spec", "pods"),
    [
        (2, [], SURGE, []),
        (1, [], SURGE, [server("one", 1), server("one", 2)]),
        (0, [], SURGE, [server("one", 1), server("one", 2), server("two", 1, ready=False)]),
        (0, ["one-1"], SURGE, [server("one", 1), server("one", 2), server("two", 1)]),
        (0, ["one-2"], SURGE, [server("two", 1), server("two", 2), server("one", 2)]),
        (1, ["one-1"], SURGE, [server("one", 1, ready=False), server("one", 2)]),
        (0, ["one-1"], EITHER, [server("one", 1), server("one", 2)]),
        (0, ["two-3"], SURGE, [server("two", 1), server("two", 2), server("two", 3, ready=False)]),
        (0, ["one-1", "one-2"], {"strategy": {"type": "Recreate"}}, [server("one", 1), server("one", 2)]),
        (2, [], {"strategy": {"type": "Recreate"}}, []),
        (0, [], SURGE | {"minReadySeconds": 3600}, [server("one", 1), server("one", 2), server("two", 1)]),
    ],
    ids=[
        "from nothing",
        "surge",
        "the new one is not ready yet",
        "drain one",
        "drain the last",
        "an old one that serves nobody goes at once",
        "no room to surge",
        "too many: the unready one goes",
        "recreate: all go first",
        "recreate: then all come",
        "ready, but not for long enough",
    ],
)
def test_how_a_deployment_rolls(now, suffix, created, deleted, *, spec, pods):
    decision = deployment_controller.sync(make_deployment(2, image="two", **spec), pods, now=now, suffix=suffix)
    assert (len(decision.create), decision.delete) == (created, deleted)


@pytest.mark.parametrize(
    ("want", "rolling", "replicas"),
    [
        ((1, 0), {"maxSurge": 1, "maxUnavailable": 0}, 2),
        ((1, 0), {}, 2),
        ((3, 2), {}, 10),
        ((0, 1), {"maxSurge": 0, "maxUnavailable": "1%"}, 2),
    ],
    ids=["numbers", "the default of two", "the default of ten", "never stuck"],
)
def test_limits(want, rolling, replicas):
    assert deployment_controller.limits({"strategy": {"rollingUpdate": rolling}}, replicas) == want


def test_a_rollout_without_progress_exceeds_its_deadline(now, suffix):
    deployment = make_deployment(1, image="two", progressDeadlineSeconds=60, **SURGE)
    pods = [server("one", 1), server("two", 1, ready=False)]
    first = deployment_controller.sync(deployment, pods, now=now, suffix=suffix).status
    later = deployment_controller.sync(deployment | {"status": first}, pods, now=now + timedelta(seconds=60), suffix=suffix).status
    last = deployment_controller.sync(deployment | {"status": later}, pods, now=now + timedelta(seconds=61), suffix=suffix).status
    assert [entry["reason"] for status in (first, later, last) for entry in status["conditions"] if entry["type"] == "Progressing"] == [
        "ReplicaSetUpdated",
        "ReplicaSetUpdated",
        "ProgressDeadlineExceeded",
    ]
    assert last["observedGeneration"] == 3


def test_a_complete_rollout_stays_complete_until_the_template_changes(now, suffix):
    pods = [server("one", 1)]
    done = deployment_controller.sync(make_deployment(image="one"), pods, now=now, suffix=suffix).status
    lost = deployment_controller.sync(
        make_deployment(image="one", status=done), [server("one", 1, ready=False)], now=now, suffix=suffix
    ).status
    gone = deployment_controller.sync(make_deployment(image="one", status=done), [], now=now, suffix=suffix).status
    other = deployment_controller.sync(make_deployment(image="two", status=done), pods, now=now, suffix=suffix).status
    none = deployment_controller.sync(make_deployment(image="two", status=done), [], now=now, suffix=suffix).status
    reasons = [
        entry["reason"] for found in (done, lost, gone, other, none) for entry in found["conditions"] if entry["type"] == "Progressing"
    ]
    assert reasons == ["NewReplicaSetAvailable"] * 3 + ["ReplicaSetUpdated"] * 2


def test_failed_pods_of_a_deployment_are_replaced(now, suffix):
    decision = deployment_controller.sync(make_deployment(1), [make_pod("Failed", code=0, name="gone")], now=now, suffix=suffix)
    assert (len(decision.create), decision.delete) == (1, ["gone"])
