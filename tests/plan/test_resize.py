"""Another number of workers: what stays, what changes with it, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_jobs import GPU, checked, facts, job, past_of, rejected

from tunewright.plan.inputs import GIB, Defaults, References, StageState, TrainOutcome
from tunewright.plan.plan import plan
from tunewright.plan.plan_types import Objection, Rejection
from tunewright.plan.resize import reject_batch, shares_of
from tunewright_contract.exit_codes import Disposition

REFS = References()


def a_job(*, replicas, each=2, passes=None, total=None, **spec):
    training = {"perDeviceTrainBatchSize": each, "gradientAccumulationSteps": passes, "globalBatchSize": total} | spec.pop("training", {})
    workers = {"replicas": replicas} | spec.pop("workers", {})
    return job({"training": {name: value for name, value in training.items() if value is not None}, "workers": workers, **spec})


def begun(*, replicas=2, total=4, state=StageState.RUNNING, **changes):
    """One gang of two ranks that took two examples each."""
    known = {"attempts": 1, "zero_stage": 0} | changes
    return TrainOutcome(state=state, replicas=replicas, global_batch_size=total, **known)


def planned(wanted, train=None):
    return plan(wanted, REFS, past_of(check=checked(), train=train or TrainOutcome()), Defaults())


@pytest.mark.parametrize(
    ("want", "wanted", "train"),
    [
        ((4, 2, 1), a_job(replicas=2), TrainOutcome()),
        ((12, 2, 3), a_job(replicas=2, passes=3), TrainOutcome()),
        ((16, 2, 4), a_job(replicas=2, total=16), TrainOutcome()),
        ((4, 2, 2), a_job(replicas=1), begun()),
        ((4, 1, 1), a_job(replicas=4), begun()),
        ((16, 2, 2), a_job(replicas=4, total=16), begun(total=16)),
        ((24, 3, 4), a_job(replicas=2, each=3, passes=2), begun(replicas=4, total=24)),
    ],
    ids=[
        "as it says",
        "with passes",
        "by globalBatchSize",
        "fewer: more passes",
        "more: fewer each",
        "more: fewer passes",
        "never more each",
    ],
)
def test_division_of_a_global_batch(want, wanted, train):
    shares = shares_of(wanted.spec, train)
    assert (shares.global_batch_size, shares.per_device, shares.passes) == want


@given(each=st.integers(1, 12), passes=st.integers(1, 6), before=st.integers(1, 8), after=st.integers(1, 8))
def test_the_global_batch_is_kept_or_the_change_refused(each, passes, before, after):
    first = shares_of(a_job(replicas=before, each=each, passes=passes).spec, TrainOutcome())
    assert (first.per_device, first.passes) == (each, passes), "nobody's words are changed at the start"
    train = begun(replicas=before, total=first.global_batch_size)
    wanted = a_job(replicas=after, each=each, passes=passes).spec
    if reject_batch(wanted, train):
        assert first.global_batch_size % after
    else:
        then = shares_of(wanted, train)
        assert then.per_device * then.passes * after == first.global_batch_size
        assert then.per_device <= each


@pytest.mark.parametrize(
    ("reason", "says", "wanted", "train"),
    [
        ("BatchNotDivisible", ["3 workers", "the 4 examples", "1, 2, 4", "it was 2"], a_job(replicas=3), begun()),
        ("BatchNotDivisible", ["3 workers of 2 ranks", "use one of 1, 2"], a_job(replicas=3, workers={"resources": {"limits": {"nvidia.com/gpu": 2}}}), begun()),
        ("BatchNotDivisible", ["1, 2, 3, 4, 5, 6, 8, 10, …"], a_job(replicas=7), begun(total=240)),
        (
            "CheckpointNotConvertible",
            ["under ZeRO-2", "training.optim adafactor", "back to 2"],
            a_job(replicas=1, training={"optim": "adafactor"}, deepspeed={"stage": 2}),
            begun(zero_stage=2),
        ),
        (
            "CheckpointNotConvertible",
            ["under ZeRO-1", "deepspeed.config.optimizer"],
            a_job(replicas=1, deepspeed={"config": {"zero_optimization": {"stage": 1}, "optimizer": {"type": "Adam"}}}),
            begun(zero_stage=1),
        ),
        (
            "BatchFixed",
            ["gradient_accumulation_steps 1 (it would be 2)", "back to 2"],
            a_job(replicas=1, deepspeed={"config": {"zero_optimization": {"stage": 1}, "gradient_accumulation_steps": 1}}),
            begun(zero_stage=1),
        ),
    ],
    ids=["batch", "batch of several ranks", "many ways out", "optimizer", "raw optimizer", "raw numbers"],
)  # fmt: skip
def test_changes_that_are_refused(reason, says, wanted, train):
    """Without a gang that could continue, the job; with one, the change alone."""
    refused = rejected(planned(wanted, replace(train, state=StageState.FAILED)))
    assert (refused.reason, refused.field) == (reason, "spec.workers.replicas")
    assert [words for words in says if words not in refused.message] == []
    decided = planned(wanted, train)
    assert decided.objection == Objection(reason=reason, message=str(refused))
    assert (decided.train.replicas, decided.train.attempt, decided.train.stopping) == (train.replicas, 0, False)


@pytest.mark.parametrize(
    ("stays", "state"),
    [(True, StageState.PENDING), (True, StageState.RUNNING), (True, StageState.SUSPENDED), (False, StageState.FAILED)],
)
def test_a_running_gang_continues_after_a_refused_change(stays, state):
    decided = planned(a_job(replicas=3), begun(state=state))
    assert isinstance(decided, Rejection) is not stays
    assert not stays or decided.objection


def test_other_optimizers_are_refused_only_for_a_resize_under_zero():
    sgd = {"training": {"optim": "sgd"}, "deepspeed": {"stage": 2}}
    assert planned(a_job(replicas=2, **sgd), begun(zero_stage=2)).train.attempt == 0
    assert planned(a_job(replicas=1, training={"optim": "sgd"}), begun()).train.stopping


def test_a_refusal_stays_if_reverting_the_change_would_not_help():
    """Neither the number of workers that is wanted nor the one that trains fits: the job is rejected, not its change."""
    small = a_job(replicas=1, workers=GPU | {"acceleratorMemory": "1Gi"}, deepspeed={"stage": "Auto"})
    assert rejected(planned(small, begun())).reason == "DoesNotFit"


def test_workers_that_no_longer_fit_stop_the_job_when_another_number_is_refused():
    """The operator now assumes smaller accelerators. Two workers would fit, and the claim lets only one mount it."""
    claim = {"deepspeed": {"offloadOptimizer": {"device": "none"}}, "output": {"storage": {"claimName": "mine"}}}
    wanted = a_job(replicas=2, method={"tuner": "full"}, workers=GPU, **claim)
    so_far = past_of(check=checked(facts(trainable=None)), train=begun(replicas=1, zero_stage=3))
    refs, smaller = References(claims={"mine": ("ReadWriteOncePod",)}), Defaults(accelerator_memory_bytes=50 * GIB)
    assert plan(wanted, refs, so_far, Defaults()).objection.reason == "VolumeNotShared"
    assert rejected(plan(wanted, refs, so_far, smaller), "ZeRO-3 on 1 rank needs").reason == "DoesNotFit"


def test_raw_numbers_that_still_apply_are_accepted():
    raw = {"config": {"zero_optimization": {"stage": 1}, "train_batch_size": 4, "gradient_accumulation_steps": "auto"}}
    assert planned(a_job(replicas=1, deepspeed=raw), begun(zero_stage=1)).train.stopping


@pytest.mark.parametrize(
    ("want", "train"),
    [
        ((0, True), begun(state=StageState.RUNNING)),
        ((0, True), begun(state=StageState.PENDING)),
        ((1, False), begun(state=StageState.SUSPENDED)),
        ((1, False), begun(state=StageState.FAILED, disposition=Disposition.RESUME)),
        ((1, False), begun(state=StageState.FAILED, disposition=Disposition.FAIL)),
        ((1, False), begun(state=StageState.FAILED, disposition=Disposition.RETRY, counted_failures=9)),
        ((0, False), begun(state=StageState.RUNNING, replicas=1)),
        ((0, False), TrainOutcome()),
    ],
    ids=["running", "pending", "at rest", "stopped", "failed for good", "patience at its end", "already so", "not begun"],
)
def test_a_gang_of_another_size_is_stopped_and_followed(want, train):
    decided = planned(a_job(replicas=1), train)
    assert (decided.train.attempt, decided.train.stopping) == want
    assert decided.config.world_size == 1


def test_the_trainers_batch_after_a_resize():
    training = planned(a_job(replicas=4), begun()).config.training
    assert (training["per_device_train_batch_size"], training["gradient_accumulation_steps"]) == (1, 1)


def test_after_training_another_number_of_workers_has_no_effect():
    done = begun(state=StageState.SUCCEEDED)
    before, after = (planned(a_job(replicas=replicas), done) for replicas in (2, 3))
    assert after == before


def test_auto_keeps_the_stage_of_the_checkpoints():
    """On one accelerator of 80 GiB stage 0 would do; the checkpoints are stage 2's."""
    auto = a_job(replicas=1, workers=GPU, deepspeed={"stage": "Auto"})
    assert planned(auto).fit.zero_stage == 0
    assert planned(auto, begun(zero_stage=2)).fit.zero_stage == 2
