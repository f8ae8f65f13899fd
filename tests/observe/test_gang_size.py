"""The size of gangs, read from their Jobs. A stopped gang has not failed."""

import pytest
from child_builders import REVISION, a_job, a_pod, ended

from tunewright.observe import has_begun, observe
from tunewright.plan.inputs import StageState
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure, dump

SUSPENDED = ("Suspended", "JobSuspended")


def train(*children):
    return observe(children, revision=REVISION).past.train


def a_gang(*conditions, attempt=0, replicas=2, batch="8", **more):
    gang = a_job("trainer", *conditions, attempt=attempt, **more)
    gang["spec"]["completions"] = replicas
    gang["metadata"]["annotations"] = {"tunewright.io/global-batch-size": batch, "tunewright.io/zero-stage": "2"}
    return gang


def test_size_is_the_newest_attempts_and_batch_the_first_ones():
    seen = train(a_gang(("Failed", "BackoffLimitExceeded"), batch="8"), a_gang(attempt=1, replicas=1, batch="9"))
    assert (seen.replicas, seen.global_batch_size, seen.zero_stage, seen.attempts) == (1, 8, 2, 2)


def test_train_jobs_without_recorded_sizes():
    seen = train(a_job("trainer", attempt=0))
    assert (seen.replicas, seen.global_batch_size, seen.zero_stage) == (None, None, None)


@pytest.mark.parametrize(
    ("want", "conditions"),
    [
        (Disposition.RESUME, [SUSPENDED, ("Failed", "BackoffLimitExceeded")]),
        (Disposition.RETRY, [("Failed", "")]),
        (Disposition.RESUME, [("Failed", "BackoffLimitExceeded")]),
        (Disposition.FAIL, [SUSPENDED, ("Failed", "PodFailurePolicy")]),
    ],
    ids=["asked to stop", "failed", "its pods were deleted", "failed for good while it was asked to stop"],
)
def test_a_failed_job_without_pods_has_failed(want, conditions):
    seen = train(a_gang(*conditions, suspend=True))
    assert (seen.state, seen.disposition) == (StageState.FAILED, want)
    assert seen.counted_failures == (want is Disposition.RETRY)


def test_a_gang_that_could_not_save_on_a_stop_has_failed():
    said = dump(Failure(reason="DiskFull", message="no space", suggestion="Free some."))
    seen = train(
        a_gang(SUSPENDED, ("Failed", "BackoffLimitExceeded"), suspend=True), a_pod("trainer", index=0, attempt=0, **ended(75, said))
    )
    assert (seen.failure.reason, seen.disposition) == ("DiskFull", Disposition.RETRY)


def recorded(gang, **annotations):
    gang["metadata"]["annotations"] |= {f"tunewright.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return gang


@pytest.mark.parametrize(
    ("counted", "newest"),
    [
        (2, a_gang(("Failed", "Other"), attempt=1)),
        (5, recorded(a_gang(("Failed", "Other"), attempt=1), counted_failures="4")),
        (1, recorded(a_gang(("Failed", "Other"), attempt=1), counted_failures="0")),
        (4, recorded(a_gang(attempt=1), counted_failures="4")),
        (2, recorded(a_gang(("Failed", "Other"), attempt=1), counted_failures="many")),
    ],
    ids=["an earlier release", "recorded", "since a retry", "it runs", "unreadable"],
)
def test_counted_failures_are_those_that_the_newest_job_records_and_its_own(counted, newest):
    assert train(a_gang(("Failed", "Other")), newest).counted_failures == counted


def test_pod_settings_and_retry_are_those_of_the_newest_job():
    found = train(recorded(a_gang(), pod_settings="a", retry="1"), recorded(a_gang(attempt=1), pod_settings="b", retry="2"))
    assert (found.settings, found.retry) == ("b", "2")
    assert (train(a_gang()).settings, train(a_gang()).retry) == ("", "")


def test_resources_are_those_of_the_newest_job_s_container():
    gang = a_gang()
    gang["spec"]["template"] = {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "2Gi"}, "requests": {}}}]}}
    assert train(gang).resources == {"limits": {"nvidia.com/gpu": "1", "memory": "2Gi"}}
    assert train(a_gang()).resources == {}


def test_a_gang_whose_jobs_are_gone_keeps_what_its_service_records():
    service = {"kind": "Service", "metadata": a_gang()["metadata"]}
    found = train(service)
    assert (found.state, found.attempts, found.global_batch_size, found.zero_stage) == (StageState.ABSENT, 0, 8, 2)
    assert has_begun([service])
    service = {"kind": "Service", "metadata": a_job("trainer", attempt=0)["metadata"]}
    assert (train(service).global_batch_size, has_begun([service])) == (None, False)
