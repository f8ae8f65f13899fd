"""Pods with injected containers: a stage is as far as its own container, and its Job gets a record before it is ended."""

import pytest
from child_builders import REVISION, a_job, a_pod, ended, kept, running
from status_builders import CHECKED, TRAINED

from tunewright.observe import observe
from tunewright.plan.ending import StageRecord
from tunewright.plan.inputs import StageState
from tunewright.plan.label_names import ENDED
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure, dump

BAD_DATA = Failure(reason="DataInvalid", message="line 3: no role", suggestion="correct the line")
LOST = Failure(reason="PeerLost", message="rank 1 did not answer")
DEAD_PROXY = {"terminated": {"exitCode": 1}}
DONE, RUNS, PENDING, FAILED = StageState.SUCCEEDED, StageState.RUNNING, StageState.PENDING, StageState.FAILED


def marked(report, disposition=None, **more):
    """The annotation of a Job that was ended."""
    record = StageRecord(report=dump(report), disposition=disposition, pod="trainer-0", kept_by=("proxy",), **more)
    return {ENDED: record.model_dump_json(exclude_none=True)}


def gang(*pods, conditions=(), **job):
    made = a_job("trainer", *conditions, attempt=0, **job)
    made["spec"]["completions"] = 2
    return [made, *(a_pod("trainer", attempt=0, index=index, **status) for index, status in enumerate(pods))]


@pytest.mark.parametrize(
    ("state", "disposition", "kept_by", "pods"),
    [
        pytest.param(DONE, None, ("proxy",), (kept(0, dump(TRAINED)), kept(0)), id="every rank is done"),
        pytest.param(DONE, None, ("proxy",), (kept(0, dump(TRAINED)), ended(0)), id="one pod is kept"),
        pytest.param(DONE, None, None, (kept(0, dump(TRAINED), proxy=DEAD_PROXY), ended(0)), id="the kubelet has yet to end the pod"),
        pytest.param(DONE, None, None, (kept(0, dump(TRAINED), phase="Failed", proxy=DEAD_PROXY), ended(0)), id="the proxy failed"),
        pytest.param(RUNS, None, None, (kept(0, dump(TRAINED)), running()), id="one rank still trains"),
        pytest.param(FAILED, Disposition.FAIL, ("proxy",), (kept(0), kept(0)), id="exit code 0 without a report"),
        pytest.param(RUNS, None, ("proxy",), (kept(65, dump(BAD_DATA)), running()), id="one rank failed, another runs"),
        pytest.param(PENDING, None, ("proxy",), (kept(75, dump(LOST)), kept(65, dump(BAD_DATA))), id="all ranks failed"),
        pytest.param(RUNS, None, None, (ended(75, dump(LOST)), running()), id="without a proxy the Job controller ends the gang"),
    ],
)
def test_a_gang_is_as_far_as_its_own_containers(state, disposition, kept_by, pods):
    found = observe(gang(*pods), revision=REVISION).past.train
    assert (found.state, found.disposition) == (state, disposition)
    assert (found.record and found.record.kept_by) == kept_by


def test_a_failure_with_a_cause_is_recorded_before_a_lost_peer():
    record = observe(gang(kept(75, dump(LOST)), kept(65, dump(BAD_DATA))), revision=REVISION).past.train.record
    assert (record.pod, record.disposition, record.succeeded) == ("trainer-1", Disposition.FAIL, False)


@pytest.mark.parametrize(
    ("state", "reason", "conditions", "annotations"),
    [
        pytest.param(DONE, "", (("Suspended", "JobSuspended"),), marked(TRAINED), id="suspended"),
        pytest.param(DONE, "", (("Failed", "DeadlineExceeded"),), marked(TRAINED), id="ended in a queue"),
        pytest.param(PENDING, "DataInvalid", (), marked(BAD_DATA, Disposition.FAIL), id="its pods are ending"),
        pytest.param(FAILED, "DataInvalid", (("Failed", "DeadlineExceeded"),), marked(BAD_DATA, Disposition.FAIL), id="failed"),
        pytest.param(FAILED, "DeadlineExceeded", (("Failed", "DeadlineExceeded"),), {}, id="a deadline of the job's own"),
        pytest.param(FAILED, "DeadlineExceeded", (("Failed", "DeadlineExceeded"),), {ENDED: "{}"}, id="an edited record"),
        pytest.param(FAILED, "DeadlineExceeded", (("Failed", "DeadlineExceeded"),), marked(CHECKED), id="another stage's record"),
    ],
)
def test_a_record_counts_when_the_pods_are_gone(state, reason, conditions, annotations):
    found = observe(gang(conditions=conditions, annotations=annotations), revision=REVISION).past.train
    assert (found.state, found.failure.reason if found.failure else "") == (state, reason)


def test_a_recorded_failure_keeps_its_disposition():
    children = gang(conditions=(("Failed", "DeadlineExceeded"),), annotations=marked(LOST, Disposition.RETRY))
    found = observe(children, revision=REVISION).past.train
    assert (found.disposition, found.counted_failures) == (Disposition.RETRY, 1)


def test_a_gang_without_rank_0_has_no_report_to_record():
    job = a_job("trainer", attempt=0)
    found = observe([job, a_pod("trainer", attempt=0, index=1, **kept(0, dump(TRAINED)))], revision=REVISION).past.train
    assert (found.state, found.record, found.failure.reason) == (FAILED, None, "ReportMissing")


def test_the_status_names_the_container_that_kept_the_pods():
    seen = observe([a_job("checker"), a_pod("checker", **kept(0, dump(CHECKED), component="checker"))], revision=REVISION)
    assert "container proxy still ran in pod checker-0" in seen.warnings[0]
    pod = a_pod("checker", **ended(0, dump(CHECKED), component="checker"))
    pod["status"]["initContainerStatuses"] = [{"name": "proxy", "state": {"running": {}}}]
    assert observe([a_job("checker"), pod], revision=REVISION).warnings == ()  # the kubelet ends native sidecars


def test_a_pod_that_is_being_deleted_is_left_alone():
    pod = a_pod("checker", **kept(0, dump(CHECKED), component="checker"))
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T10:00:00Z"
    assert observe([a_job("checker"), pod], revision=REVISION).past.check.record is None
