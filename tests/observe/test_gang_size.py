"""The size of gangs, read from their Jobs. A stopped gang has not failed."""

import pytest
from child_builders import REVISION, a_job, a_pod, ended

from tunewright.observe import observe
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
        (Disposition.RETRY, [("Failed", "BackoffLimitExceeded")]),
        (Disposition.FAIL, [SUSPENDED, ("Failed", "PodFailurePolicy")]),
    ],
    ids=["asked to stop", "failed", "failed for good while it was asked to stop"],
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
