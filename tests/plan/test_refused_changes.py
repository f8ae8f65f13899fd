"""Changes that are refused: before anything has begun the whole job is; afterwards the change alone, while what runs continues."""

from dataclasses import replace

import pytest
from plan_jobs import CLUSTER, checked, facts, job, past, past_of, rejected

from tunewright.plan.inputs import Defaults, Past, StageState, TrainOutcome
from tunewright.plan.plan import forecast, plan
from tunewright_contract.exit_codes import Disposition

ABSENT, PENDING, RUNNING, SUSPENDED, FAILED, SUCCEEDED = (
    StageState.ABSENT, StageState.PENDING, StageState.RUNNING, StageState.SUSPENDED, StageState.FAILED, StageState.SUCCEEDED,
)  # fmt: skip
QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
PARTIAL = {"kueue.x-k8s.io/job-min-parallelism": "1"}
STOPS = {
    "HeldByQueue": ({"suspend": True}, "spec.suspend", "set spec.active: false on their Workloads"),
    "GangIsWhole": (
        {},
        "metadata.annotations[kueue.x-k8s.io/job-min-parallelism]",
        "which would wait for the others until a timeout; remove the annotation",
    ),
}
BEGUN = [
    pytest.param((None, None), past(check=PENDING), id="Check is made"),
    pytest.param((None, None), past(check=RUNNING), id="Check runs"),
    pytest.param((None, None), past(check=SUSPENDED), id="Check waits"),
    pytest.param((None, None), past(check=FAILED), id="Check has failed"),
    pytest.param((0, None), past(check=checked(), train=PENDING, attempts=1), id="the gang is made"),
    pytest.param((0, None), past(check=checked(), train=RUNNING, attempts=1), id="the gang runs"),
    pytest.param((0, None), past(check=checked(), train=SUSPENDED, attempts=1), id="the gang waits"),
    pytest.param((1, None), past(check=checked(), train=FAILED, attempts=1, asks=Disposition.RESUME), id="the gang starts again"),
    pytest.param((0, None), past(check=checked(), train=FAILED, attempts=1, asks=Disposition.FAIL), id="the gang has failed for good"),
    pytest.param((0, True), past(check=checked(), train=SUCCEEDED, attempts=1), id="the model is trained"),
    pytest.param((0, True), past(check=checked(), train=SUCCEEDED, attempts=1, export=RUNNING), id="the model is exported"),
]
NOT_BEGUN = [
    pytest.param(Past(), id="nothing is there"),
    pytest.param(past(check=checked()), id="the next thing is a gang"),
]


def asked(reason):
    change, _, _ = STOPS[reason]
    return job(change, labels=QUEUE, annotations=PARTIAL if reason == "GangIsWhole" else {})


@pytest.mark.parametrize("reason", STOPS)
@pytest.mark.parametrize(("goes_on", "so_far"), BEGUN)
def test_running_work_continues_unchanged_after_a_refused_change(reason, goes_on, so_far):
    _, field, words = STOPS[reason]
    decided = plan(asked(reason), CLUSTER, so_far, Defaults())
    assert decided.objection.reason == reason
    assert decided.objection.message.startswith(f"{field}: ")
    assert words in decided.objection.message
    assert (decided.train and decided.train.attempt, decided.export and True) == goes_on
    assert (decided.suspend, dict(decided.pass_annotations)) == (False, {})


@pytest.mark.parametrize("reason", STOPS)
@pytest.mark.parametrize("so_far", NOT_BEGUN)
def test_a_job_that_has_not_begun_is_refused(reason, so_far):
    _, field, words = STOPS[reason]
    refused = rejected(plan(asked(reason), CLUSTER, so_far, Defaults()), words)
    assert (refused.reason, refused.field) == (reason, field)


@pytest.mark.parametrize("reason", STOPS)
def test_a_forecast_refuses_the_job(reason):
    rejected(forecast(asked(reason), CLUSTER, Defaults(), model_facts=facts()), STOPS[reason][2])


@pytest.mark.parametrize("reason", STOPS)
def test_after_the_export_nothing_is_refused(reason):
    assert plan(asked(reason), CLUSTER, past(export=SUCCEEDED), Defaults()).objection is None


def test_each_of_several_refused_changes_is_reported():
    wanted = job({"workers": {"replicas": 1}, "suspend": True}, labels=QUEUE, annotations=PARTIAL)
    gang = TrainOutcome(state=RUNNING, attempts=1, replicas=2, global_batch_size=2, zero_stage=0)
    decided = plan(wanted, CLUSTER, past_of(check=checked(), train=gang), Defaults())
    told = decided.objection.message.split("; ")
    assert [part.partition(": ")[0] for part in told if part.startswith(("spec.", "metadata."))] == [
        "spec.workers.replicas",
        "metadata.annotations[kueue.x-k8s.io/job-min-parallelism]",
        "spec.suspend",
    ]
    assert (decided.objection.reason, decided.train.replicas, decided.suspend) == ("HeldByQueue", 2, False)


def test_a_valid_resize_is_kept_when_another_change_is_refused():
    gang = TrainOutcome(state=RUNNING, attempts=1, replicas=2, global_batch_size=2, zero_stage=0)
    decided = plan(job({"workers": {"replicas": 1}}, annotations=PARTIAL), CLUSTER, past_of(check=checked(), train=gang), Defaults())
    assert (decided.objection.reason, decided.train.stopping) == ("GangIsWhole", True)
    assert decided.objection.message.count("would wait for the others") == 1


SINGLE = {"output": {"storage": {"accessModes": ["ReadWriteOncePod"]}}, "serving": {}}


@pytest.mark.parametrize(("goes_on", "so_far"), BEGUN)
def test_an_impossible_server_does_not_stop_earlier_stages(goes_on, so_far):
    decided = plan(job(SINGLE), CLUSTER, so_far, Defaults())
    assert (decided.train and decided.train.attempt, decided.export and True) == goes_on
    assert decided.objection.reason == "VolumeNotShared"


@pytest.mark.parametrize("so_far", [*NOT_BEGUN, pytest.param(past(train=SUCCEEDED, attempts=1, export=SUCCEEDED), id="its time has come")])
def test_an_impossible_server_is_refused_at_the_start_and_after_the_export(so_far):
    assert rejected(plan(job(SINGLE), CLUSTER, so_far, Defaults()), "is ReadWriteOncePod").reason == "VolumeNotShared"


def test_only_the_refused_one_of_two_changes_is_reported():
    gang = TrainOutcome(state=RUNNING, attempts=1, replicas=2, global_batch_size=2, zero_stage=0)
    decided = plan(job({"serving": {}, "workers": {"replicas": 3}}), CLUSTER, past_of(check=checked(), train=gang), Defaults())
    assert decided.objection.reason == "BatchNotDivisible"
    assert decided.objection.message.count("cannot share the 2 examples") == 1
    assert decided.train.replicas == 2


def test_another_error_of_the_job_is_reported_as_such():
    taken = {"storage": {"claimName": "c"}, "destinations": [{"pvc": {"claimName": "c", "path": "runs"}}]}
    decided = plan(
        job({"suspend": True, "output": taken}, labels=QUEUE), CLUSTER, past(check=checked(), train=RUNNING, attempts=1), Defaults()
    )
    assert rejected(decided).reason == "FolderTaken"


@pytest.mark.parametrize(
    ("field", "change"), [("spec.suspend", {"suspend": True}), ("spec.workers.replicas", {"workers": {"replicas": 1}})]
)
@pytest.mark.parametrize(("labels", "queued"), [(QUEUE, False), ({}, True)], ids=["its own queue", "the namespace's, without a request"])
def test_a_job_in_a_queue_cannot_be_suspended_or_resized(field, change, labels, queued):
    gang = TrainOutcome(state=RUNNING, attempts=1, replicas=2, global_batch_size=2, zero_stage=0)
    wanted = job({"workers": {"replicas": 2}} | change, labels=labels)
    decided = plan(wanted, CLUSTER, replace(past_of(check=checked(), train=gang), queued=queued), Defaults())
    assert decided.objection.reason == "HeldByQueue"
    assert decided.objection.message.startswith(f"{field}: ")
    assert (decided.train.stopping, decided.suspend) == (False, False)


def test_a_failed_gang_in_a_queue_cannot_be_resized():
    gang = TrainOutcome(state=FAILED, attempts=1, replicas=2, global_batch_size=2, zero_stage=0)
    wanted = job({"workers": {"replicas": 1}}, labels=QUEUE)
    refused = rejected(plan(wanted, CLUSTER, past_of(check=checked(), train=gang), Defaults()), "set it back to 2")
    assert (refused.reason, refused.field) == ("HeldByQueue", "spec.workers.replicas")


def test_without_a_queue_a_gang_can_be_suspended():
    decided = plan(job({"suspend": True}), CLUSTER, past(check=checked(), train=RUNNING, attempts=1), Defaults())
    assert (decided.objection, decided.suspend) == (None, True)
