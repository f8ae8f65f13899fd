"""When the server is ready, with the wanted revision, and where it answers."""

import pytest
from child_builders import REVISION, STUCK, a_deployment, a_pod, a_service, ended, running, waiting

from tunewright.observe import observe
from tunewright.plan.inputs import StageState
from tunewright_contract.stages import SERVE

READY = {"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}


def serve(*children):
    return observe(children, revision=REVISION).past.serve


@pytest.mark.parametrize(
    ("deployment", "expected"),
    [
        (a_deployment(**READY), StageState.SUCCEEDED),
        (a_deployment(**READY | {"observedGeneration": 3}), StageState.PENDING),
        (a_deployment(**READY | {"updatedReplicas": 1}), StageState.PENDING),
        (a_deployment(**READY | {"readyReplicas": 1}), StageState.PENDING),
        (a_deployment(**READY | {"availableReplicas": 1}), StageState.PENDING),
        (a_deployment(**READY | {"replicas": 3}), StageState.PENDING),
        (a_deployment(), StageState.PENDING),
    ],
    ids=["all of it", "not seen yet", "not all updated", "not all ready", "not for long enough", "an old one is still there", "new"],
)
def test_a_server_is_ready_when_all_replicas_are(deployment, expected):
    assert serve(deployment).state is expected


def test_a_server_of_no_replicas_is_ready():
    deployment = a_deployment()
    deployment["spec"]["replicas"] = 0
    assert serve(deployment).state is StageState.SUCCEEDED


def test_the_default_is_one_replica():
    deployment = a_deployment(replicas=1, updatedReplicas=1, readyReplicas=1, availableReplicas=1)
    del deployment["spec"]["replicas"]
    found = serve(deployment)
    assert (found.state, found.ready_replicas) == (StageState.SUCCEEDED, 1)


def test_a_server_that_starts_is_running():
    assert serve(a_deployment(), a_pod("server", **running("server"))).state is StageState.RUNNING


def test_a_crashing_server_has_its_reason():
    crash = a_pod("server", **waiting("CrashLoopBackOff", last_message="ModelManifest: no such file", component="server"))
    seen = observe([a_deployment(), crash], revision=REVISION)
    assert seen.past.serve.failure.reason == "CrashLoopBackOff"
    assert "no such file" in seen.past.serve.failure.message
    assert seen.failed_pods[SERVE].name == "server-0"


def test_a_failure_of_an_earlier_revision_is_ignored():
    assert serve(a_deployment(), a_pod("server", serving="older", **ended(1, component="server"))).failure is None


def test_a_server_that_is_being_replaced_has_not_failed():
    leaving = a_pod("server", **ended(143, component="server"))
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T10:00:00Z"
    assert serve(a_deployment(), leaving).failure is None
    del leaving["metadata"]["deletionTimestamp"]
    assert serve(a_deployment(), leaving).failure.reason == "Stopped"


def test_a_rollout_that_takes_too_long_has_failed():
    found = serve(a_deployment(conditions=[{"type": "Available", "status": "True"}, STUCK]))
    assert (found.state, found.failure.reason, found.failure.message) == (
        StageState.FAILED,
        "ProgressDeadlineExceeded",
        "has timed out progressing",
    )
    without_words = serve(a_deployment(conditions=[STUCK | {"message": ""}]))
    assert without_words.failure.message == "the servers did not become ready in time"


def test_a_pods_failure_has_priority_over_the_rollouts():
    pod = a_pod("server", **waiting("ErrImagePull", "not found", component="server"))
    found = serve(a_deployment(conditions=[STUCK]), pod)
    assert (found.state, found.failure.reason) == (StageState.FAILED, "ImagePullBackOff")


REFUSED = {
    "type": "ReplicaFailure",
    "status": "True",
    "reason": "FailedCreate",
    "message": 'pods "bot-serve-x" is forbidden: exceeded quota: none, requested: pods=1',
}


@pytest.mark.parametrize(
    ("conditions", "pods", "expected"),
    [
        ([REFUSED], [], (StageState.PENDING, "QuotaExceeded")),
        ([REFUSED, STUCK], [], (StageState.FAILED, "QuotaExceeded")),
        ([REFUSED | {"status": "False"}, STUCK], [], (StageState.FAILED, "ProgressDeadlineExceeded")),
        (
            [REFUSED],
            [a_pod("server", **waiting("ErrImagePull", "not found", component="server"))],
            (StageState.PENDING, "ImagePullBackOff"),
        ),
    ],
    ids=["at once", "also when the time is up", "not any more", "a pod that was made has another trouble"],
)
def test_refused_pods_have_their_reason(conditions, pods, expected):
    found = serve(a_deployment(conditions=conditions), *pods)
    assert (found.state, found.failure.reason) == expected


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ([a_service()], "http://bot-serve.default.svc"),
        ([a_service(port=8080)], "http://bot-serve.default.svc:8080"),
        ([a_service(url="http://127.0.0.1:20007")], "http://127.0.0.1:20007"),
        ([{"kind": "Service", "metadata": a_service()["metadata"]}], "http://bot-serve.default.svc"),
        ([], ""),
    ],
    ids=["in a cluster", "on another port", "as its annotation says", "half-filled", "none"],
)
def test_the_address_is_the_services(service, expected):
    assert serve(a_deployment(**READY), *service).url == expected


def test_an_address_can_exist_before_the_server():
    found = serve(a_service())
    assert (found.state, found.url) == (StageState.ABSENT, "http://bot-serve.default.svc")


def test_a_blocked_server_has_the_reason_of_its_events():
    pod = a_pod("server", phase="Pending")
    pod["metadata"]["uid"] = "p1"
    event = {
        "kind": "Event",
        "reason": "FailedMount",
        "message": 'secret "models" not found',
        "involvedObject": {"uid": "p1", "name": "server-0"},
        "lastTimestamp": "2026-01-01T10:00:00Z",
    }
    seen = observe([a_deployment(), pod, event], revision=REVISION)
    assert (seen.past.serve.state, seen.past.serve.failure.reason) == (StageState.PENDING, "VolumeNotMounted")
    assert 'secret "models" not found' in seen.past.serve.failure.message
    assert seen.failed_pods[SERVE].name == "server-0"


def test_the_selector_is_the_deployments_as_text():
    deployment = a_deployment()
    deployment["spec"]["selector"] = {"matchLabels": {"b": "2", "a": "1"}}
    assert observe([deployment], revision=REVISION).past.serve.selector == "a=1,b=2"
