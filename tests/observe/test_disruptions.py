"""Pods that a user deletes, and nodes that reboot, cost no attempt. What fails by itself does."""

import pytest
from child_builders import REVISION, a_job, a_pod, ended, running

from tunewright.observe import observe
from tunewright.plan.inputs import StageState
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure, dump
from tunewright_contract.stages import TRAIN

FAILED = ("Failed", "BackoffLimitExceeded")
NOTED = {"tunewright.io/disrupted": "pod trainer-1 was deleted"}
LOST = ended(75, dump(Failure(reason="PeerLost", message="rank 1 is gone")))
STOPPED = ended(143, dump(Failure(reason="Stopped", message="it has saved")))
FULL = ended(75, dump(Failure(reason="DiskFull", message="no space left")))
REBOOTED = ended(255, reason="Unknown")
BAD = ended(65, dump(Failure(reason="DataInvalid", message="line 3")))
REJECTED = {"phase": "Failed", "reason": "UnexpectedAdmissionError"}
RESUME, RETRY, FAIL = Disposition.RESUME, Disposition.RETRY, Disposition.FAIL


def leaving(status):
    """A pod in deletion."""
    return status | {"leaves": True}


def pods_of(component, statuses, attempt=None):
    found = []
    for index, status in enumerate(statuses):
        pod = a_pod(component, index=index, attempt=attempt, **{name: value for name, value in status.items() if name != "leaves"})
        pod["metadata"] |= {"deletionTimestamp": "2026-01-01T10:00:00Z"} if status.get("leaves") else {}
        found.append(pod)
    return found


def train(*statuses, conditions=(), status=None, **job):
    return observe(
        [a_job("trainer", *conditions, attempt=0, **job), *pods_of("trainer", statuses, 0)], revision=REVISION, status=status
    ).past.train


def export(*statuses, conditions=(), **job):
    made = a_job("exporter", *conditions, **job)
    made["spec"]["backoffLimit"] = 2
    return observe([made, *pods_of("exporter", statuses)], revision=REVISION).past.export


@pytest.mark.parametrize(
    ("noted", "statuses", "job"),
    [
        pytest.param("pod trainer-1 was deleted", (running(), leaving(running())), {}, id="a pod that still runs"),
        pytest.param("pod trainer-1 was deleted", (running(), leaving({"phase": "Pending"})), {}, id="a pod without a node"),
        pytest.param("pod trainer-1 was deleted", (running(), leaving(STOPPED)), {}, id="a pod that has saved"),
        pytest.param("pod trainer-1 was deleted", (LOST,), {"annotations": NOTED}, id="it was noted before"),
        pytest.param("", (running(), running()), {}, id="none"),
        pytest.param("", (leaving(ended(0)), running()), {}, id="a pod that has succeeded"),
        pytest.param("", (FULL, leaving(running())), {}, id="another rank has failed, so the Job controller deletes the others"),
        pytest.param("", (running(), leaving(running())), {"suspend": True}, id="the Job is suspended"),
        pytest.param("", (running(), leaving(running())), {"annotations": {"tunewright.io/ended": "{}"}}, id="the operator ends the Job"),
        pytest.param("", (running(), leaving(running())), {"conditions": [("FailureTarget", "DeadlineExceeded")]}, id="the Job fails"),
        pytest.param(
            "", (running(), leaving(REJECTED | {"conditions": [{"type": "DisruptionTarget", "status": "True"}]})), {}, id="an eviction"
        ),
    ],
)  # fmt: skip
def test_a_deleted_pod_is_noted(noted, statuses, job):
    assert train(*statuses, **job).disrupted == noted


def test_pods_of_a_deleted_job_are_not_noted():
    job = a_job("trainer", attempt=0)
    job["metadata"]["deletionTimestamp"] = "2026-01-01T10:00:00Z"
    assert observe([job, *pods_of("trainer", [leaving(running())], 0)], revision=REVISION).past.train.disrupted == ""


@pytest.mark.parametrize(
    ("then", "reason", "statuses", "noted"),
    [
        pytest.param(RESUME, "Disrupted", (), False, id="all pods are gone"),
        pytest.param(RESUME, "Disrupted", (leaving(ended(137)),), False, id="all pods that failed are in deletion"),
        pytest.param(RESUME, "Disrupted", (leaving(FULL), ended(0)), False, id="the others have succeeded"),
        pytest.param(RESUME, "Disrupted", (LOST,), True, id="only its victims are left"),
        pytest.param(RESUME, "Disrupted", (STOPPED, leaving(ended(137))), True, id="it was killed after its grace period"),
        pytest.param(RESUME, "Disrupted", (LOST, REBOOTED), False, id="a node rebooted"),
        pytest.param(RETRY, "PeerLost", (LOST,), False, id="victims of an unknown cause"),
        pytest.param(RETRY, "DiskFull", (FULL, leaving(STOPPED)), False, id="a rank failed, and the Job controller deleted the other"),
        pytest.param(RETRY, "DiskFull", (FULL,), True, id="a rank failed by itself after a deletion"),
        pytest.param(FAIL, "DataInvalid", (BAD, leaving(STOPPED)), True, id="a failure that no retry can fix"),
        pytest.param(FAIL, "DataInvalid", (leaving(BAD),), True, id="such a failure of the deleted pod"),
    ],
)
def test_a_failed_gang_with_a_deleted_pod(then, reason, statuses, noted):
    found = train(*statuses, conditions=[FAILED], annotations=NOTED if noted else {})
    assert (found.state, found.failure.reason, found.disposition) == (StageState.FAILED, reason, then)
    assert found.counted_failures == (then is RETRY)


@pytest.mark.parametrize("noted", [{}, NOTED])
def test_a_job_that_is_stored_as_failed_stays_failed_when_its_pods_disappear(noted):
    status = {"revision": REVISION, "phase": "Failed"}
    assert train(conditions=[FAILED], annotations=noted, status=status).disposition is RETRY
    assert train(conditions=[FAILED], annotations=noted, status=status | {"revision": "other"}).disposition is RESUME


@pytest.mark.parametrize(("found", "statuses"), [({TRAIN: "7"}, ()), ({}, (FULL,))])
def test_the_job_that_a_disruption_ended_is_named(found, statuses):
    job = a_job("trainer", FAILED, attempt=0)
    job["metadata"]["uid"] = "7"
    assert observe([job, *pods_of("trainer", statuses, 0)], revision=REVISION).disrupted == found


def test_a_suspended_job_without_pods_forgets_a_deletion():
    assert train(conditions=[("Suspended", "")], suspend=True, annotations=NOTED).disrupted == ""
    assert train(leaving(running()), conditions=[("Suspended", "")], suspend=True, annotations=NOTED).disrupted != ""


def test_a_job_that_failed_is_read_again_when_its_pods_have_ended():
    found = train(running(), leaving(running()), conditions=[FAILED])
    assert (found.state, found.disposition) == (StageState.RUNNING, None)


@pytest.mark.parametrize(
    ("then", "statuses", "noted"),
    [
        pytest.param(RESUME, (FULL, FULL), True, id="fewer failures than attempts, and a deletion"),
        pytest.param(RESUME, (REBOOTED, REBOOTED, FULL), False, id="two reboots"),
        pytest.param(RESUME, (), False, id="all its pods are gone"),
        pytest.param(RETRY, (FULL, FULL, FULL), True, id="all attempts failed by themselves"),
        pytest.param(RETRY, (FULL, FULL), False, id="no deletion"),
    ],
)
def test_a_failed_stage_with_one_pod(then, statuses, noted):
    found = export(*statuses, conditions=[FAILED], annotations=NOTED if noted else {})
    assert (found.state, found.disposition) == (StageState.FAILED, then)


def test_a_stage_with_one_pod_notes_a_deletion_after_failures_and_names_it_while_it_waits():
    found = export(FULL, leaving(ended(137, at="2026-01-01T10:01:00Z", component="exporter")))
    assert (found.disrupted, found.failure.reason) == ("pod exporter-1 was deleted", "Disrupted")


@pytest.mark.parametrize(("before", "then", "counted"), [(REJECTED, RETRY, 1), (REBOOTED, RESUME, 0)])
def test_a_kubelet_that_refuses_two_gangs_in_a_row_counts(before, then, counted):
    jobs = [a_job("trainer", FAILED, attempt=attempt, annotations={"tunewright.io/counted-failures": "0"}) for attempt in (0, 1)]
    found = observe([*jobs, *pods_of("trainer", [before], 0), *pods_of("trainer", [REJECTED], 1)], revision=REVISION).past.train
    assert (found.disposition, found.counted_failures) == (then, counted)
