"""When a stage runs again: changed pod settings and retries, by the state of its newest Job."""

from dataclasses import replace

import pytest
from plan_jobs import CLUSTER, checked, job, past_of, rejected

from tunewright.plan.again import wanted_of
from tunewright.plan.inputs import Defaults, Past, StageOutcome, StageState, TrainOutcome
from tunewright.plan.plan import plan
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.stages import CHECK, EXPORT, TRAIN

ABSENT, PENDING, RUNNING, SUSPENDED, FAILED, SUCCEEDED = (
    StageState.ABSENT, StageState.PENDING, StageState.RUNNING, StageState.SUSPENDED, StageState.FAILED, StageState.SUCCEEDED,
)  # fmt: skip
FAIL, RETRY, RESUME = Disposition.FAIL, Disposition.RETRY, Disposition.RESUME
ONE_GPU = {"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}}


def settings(**workers):
    return wanted_of(job({"workers": workers}), TRAIN).settings


NOW = settings()


def planned(so_far: Past, **changes):
    retry = changes.pop("retry", None)
    return plan(job(changes, annotations={"tunewright.io/retry": retry} if retry else {}), CLUSTER, so_far, Defaults())


@pytest.mark.parametrize(
    ("same", "workers"),
    [
        (True, {"resources": {}}),
        (True, {"replicas": 7}),
        (True, {"env": []}),
        (True, {"nodeSelector": {}}),
        (True, {"acceleratorMemory": "80Gi"}),
        (False, {"image": "a:1"}),
        (False, {"env": [{"name": "A", "value": "b"}]}),
        (False, {"resources": {"limits": {"cpu": 1}}}),
        (False, {"nodeSelector": {"a": "b"}}),
        (False, {"tolerations": [{"operator": "Exists"}]}),
        (False, {"affinity": {"nodeAffinity": {}}}),
        (False, {"priorityClassName": "high"}),
        (False, {"serviceAccountName": "me"}),
        (False, {"imagePullSecrets": ["a"]}),
    ],
)
def test_what_the_digest_of_pod_settings_contains(same, workers):
    assert (settings(**workers) == NOW) is same


def test_equal_quantities_have_one_digest():
    assert settings(resources={"limits": {"cpu": "1000m"}}) == settings(resources={"limits": {"cpu": 1}})


@pytest.mark.parametrize(
    ("stages", "spec"),
    [
        ((CHECK, TRAIN, EXPORT), {"workers": {"podLabels": {"cost": "a"}}}),
        ((EXPORT,), {"export": {"podLabels": {"cost": "a"}}}),
        ((EXPORT,), {"export": {"resources": {"limits": {"memory": "90Gi"}}}}),
        ((TRAIN,), {"workers": {"resources": {"limits": {"cpu": "2"}}}}),
        ((CHECK, TRAIN, EXPORT), {"workers": {"resources": {"limits": {"memory": "90Gi"}}}}),
        ((), {"serving": {"nodeSelector": {"a": "b"}}}),
    ],
)
def test_which_stages_a_change_concerns(stages, spec):
    before, after = job(), job(spec)
    assert tuple(stage for stage in (CHECK, TRAIN, EXPORT) if wanted_of(before, stage) != wanted_of(after, stage)) == stages


def test_an_upgrade_of_the_operator_does_not_change_the_digest():
    """The digest of a job without settings of its own: if it changes, an upgrade replaces Jobs that wait."""
    assert NOW == "44136fa355"


@pytest.mark.parametrize(
    ("replaces", "state", "recorded", "asks", "retry"),
    [
        (False, ABSENT, "", None, None),
        (False, PENDING, NOW, None, None),
        (False, PENDING, "", None, None),
        (True, PENDING, "other", None, None),
        (True, SUSPENDED, "other", None, None),
        (False, RUNNING, "other", None, "1"),
        (False, SUCCEEDED, "other", None, "1"),
        (True, FAILED, "other", FAIL, None),
        (False, FAILED, NOW, FAIL, None),
        (False, FAILED, NOW, RETRY, None),
        (True, FAILED, NOW, RESUME, None),
        (True, FAILED, NOW, FAIL, "1"),
        (True, FAILED, "", FAIL, "1"),
        (False, FAILED, NOW, FAIL, "0"),
        (False, PENDING, NOW, None, "1"),
    ],
)
def test_when_the_job_of_a_stage_with_one_pod_is_replaced(replaces, state, recorded, asks, retry):
    """`retry`: that of the FineTuneJob; its Job was made for 0."""
    so_far = past_of(check=StageOutcome(state=state, settings=recorded, disposition=asks, retry="0"))
    assert planned(so_far, retry=retry).check.replaces is replaces


def gang(state, recorded=NOW, asks=None, **more):
    known = {"attempts": 1, "replicas": 1, "zero_stage": 0, "global_batch_size": 1, "retry": "0"} | more
    return past_of(check=checked(), train=TrainOutcome(state=state, settings=recorded, disposition=asks, **known))


@pytest.mark.parametrize(
    ("attempt", "replaces", "counted", "so_far", "retry"),
    [
        (0, False, 0, gang(PENDING), None),
        (0, True, 0, gang(PENDING, "other"), None),
        (0, True, 0, gang(SUSPENDED, "other"), None),
        (0, False, 0, gang(RUNNING, "other"), "1"),
        (0, False, 1, gang(FAILED, asks=FAIL, counted_failures=1), None),
        (0, False, 1, gang(FAILED, asks=FAIL, counted_failures=1), "0"),
        (1, False, 0, gang(FAILED, asks=FAIL, counted_failures=1), "1"),
        (1, False, 0, gang(FAILED, "other", asks=FAIL, counted_failures=1), None),
        (0, False, 9, gang(FAILED, asks=RETRY, counted_failures=9), None),
        (1, False, 0, gang(FAILED, asks=RETRY, counted_failures=9), "1"),
        (1, False, 1, gang(FAILED, asks=RETRY, counted_failures=1), None),
        (1, False, 9, gang(FAILED, asks=RESUME, counted_failures=9), None),
        (0, False, 0, gang(PENDING, "other", replicas=2), None),
    ],
)
def test_when_a_gang_is_replaced_or_followed_by_another_attempt(attempt, replaces, counted, so_far, retry):
    made = planned(so_far, retry=retry).train
    assert (made.attempt, made.replaces, made.counted_failures) == (attempt, replaces, counted)


def test_a_refused_change_replaces_nothing():
    waiting = gang(PENDING, "other")
    refused = {"metadata": {"kueue.x-k8s.io/job-min-parallelism": "1"}}
    made = plan(job({}, annotations=refused["metadata"]), CLUSTER, waiting, Defaults())
    assert (made.objection.reason, made.train.replaces) == ("GangIsWhole", False)


def test_an_export_runs_again_after_a_retry():
    so_far = gang(SUCCEEDED)
    so_far = past_of(so_far, export=StageOutcome(state=FAILED, disposition=FAIL, settings=NOW))
    assert planned(so_far, retry="1").export.replaces
    assert not planned(so_far, retry="1").train.replaces


class TestAccelerators:
    """The ranks of a pod stay those that the gang began with."""

    def begun(self, state=RUNNING, **more):
        return gang(state, resources=ONE_GPU, **more)

    @pytest.mark.parametrize(
        "limits", [{"nvidia.com/gpu": "2", "memory": "64Gi"}, {"memory": "64Gi"}, {"amd.com/gpu": 1, "memory": "64Gi"}]
    )
    @pytest.mark.parametrize("state", [PENDING, RUNNING, SUSPENDED])
    def test_another_number_is_refused_and_the_gang_continues(self, limits, state):
        made = planned(self.begun(state), workers={"resources": {"limits": limits}})
        assert made.objection.reason == "AcceleratorsFixed"
        assert "with which the gang began" in made.objection.message
        assert made.train.resources["limits"]["nvidia.com/gpu"] == "1"
        assert not made.train.replaces

    def test_the_same_number_passes(self):
        made = planned(self.begun(PENDING, recorded="other"), workers={"resources": {"limits": {"nvidia.com/gpu": 1, "memory": "32Gi"}}})
        assert (made.objection, made.train.replaces) == (None, True)

    def test_before_the_gang_the_number_is_free(self):
        assert planned(past_of(check=checked()), workers={"resources": {"limits": {"nvidia.com/gpu": 2}}}).train.processes_per_replica == 2


def test_a_running_gang_keeps_its_memory_if_less_is_too_little():
    enough = {"limits": {"memory": "200Gi"}}
    small = {"limits": {"memory": "9Gi"}}
    auto = {"deepspeed": {"stage": "Auto"}, "workers": {"resources": small}}
    made = planned(gang(RUNNING, "other", resources=enough), **auto)
    assert (made.objection.reason, made.train.resources["limits"]["memory"]) == ("DoesNotFit", "200Gi")
    rejected(planned(gang(FAILED, "other", asks=RETRY, resources=enough), **auto), "nothing that fits")
    rejected(planned(gang(RUNNING, "other", resources={}), **auto), "nothing that fits")


def test_a_gang_whose_job_is_gone_keeps_its_batch():
    train = TrainOutcome(global_batch_size=8, zero_stage=0)
    assert planned(past_of(check=checked(), train=train)).train.global_batch_size == 8
    assert replace(train, state=ABSENT) == train
