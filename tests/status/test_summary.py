"""From what was observed to what people and tools read."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from plan_builders import GANG, exporting, hub_plan, quickstart_plan, serving
from status_builders import CHECKED, EXPORTED, NOON, URL, a_job, posted, seen

from tunewright.observe.observation import Observation
from tunewright.observe.pods import PodState
from tunewright.plan.inputs import Missing, ServeOutcome, StageOutcome, StageState, TrainOutcome
from tunewright.plan.plan_types import MemoryFit, Storage
from tunewright.plan.rollout import Refusal, Rollout, ServingRevision
from tunewright.render import render
from tunewright.status import (
    summarise,
    summarise_defect,
    summarise_forbidden,
    summarise_invalid,
    summarise_missing,
    summarise_refused,
    summarise_rejected,
)
from tunewright.status.serving import serving_status
from tunewright_contract.reports import Failure, Score
from tunewright_contract.stages import TRAIN

OLD, NEW = (ServingRevision(name=name, template={}) for name in ("old", "new"))
RUNNING = TrainOutcome(state=StageState.RUNNING, attempts=1)
BROKEN = Failure(reason="DataInvalid", message="train.jsonl line 3: no role", rank=1, suggestion="Correct the line.")
WORSE = Score(loss=19_820.0, token_accuracy=0.0, samples=50)
LOST = Failure(reason="DiskFull", message="no space left", suggestion="Free space.")


def status(observation, plan=None, *, job=None, now=NOON, previous=None, progress=None, altered=()):
    plan = plan or quickstart_plan()
    serving = render(plan).serving
    known = {"progress": progress, "now": now, "previous": previous, "altered": altered}
    return summarise(job or a_job(), plan, observation, serving=serving, **known)


def conditions(summary):
    return {condition.type: (condition.status, condition.reason) for condition in summary.conditions}


def test_objects_that_a_policy_changed_are_a_condition_beside_the_jobs_state():
    plain, told = status(seen()), status(seen(), altered=["Deployment a: b", "Job c: d"])
    assert conditions(told) == conditions(plain) | {"ObjectsAltered": ("True", "WriteAltered")}
    assert told.conditions[-1].message == "Deployment a: b; Job c: d"


def failed(failure=None, **more):
    return StageOutcome(state=StageState.FAILED, failure=failure, **more)


def evicted(*done, **outcomes):
    """The same, with a gang that another program has suspended."""
    return replace(seen(*done, **outcomes), leaving=frozenset({TRAIN}))


class TestPhase:
    @pytest.mark.parametrize(
        ("observation", "plan", "phase", "reason"),
        [
            (seen(), quickstart_plan(train=None), "Checking", "Pending"),
            (seen(check=StageOutcome(state=StageState.RUNNING)), quickstart_plan(train=None), "Checking", "Running"),
            (seen(check=failed(BROKEN)), quickstart_plan(train=None), "Failed", "DataInvalid"),
            (seen(check=failed()), quickstart_plan(train=None), "Failed", "Failed"),
            (seen("check"), quickstart_plan(), "Training", "Pending"),
            (seen("check", train=RUNNING), quickstart_plan(), "Training", "Running"),
            (seen("check", train=TrainOutcome(state=StageState.SUSPENDED, attempts=1)), hub_plan(), "Queued", "Queued"),
            (evicted("check", train=RUNNING), hub_plan(), "Training", "Evicting"),
            (evicted("check", train=TrainOutcome(state=StageState.PENDING, attempts=1)), hub_plan(), "Training", "Evicting"),
            (evicted("check", train=RUNNING), hub_plan(suspend=True), "Training", "Suspending"),
            (evicted("check", train=replace(RUNNING, replicas=7)), quickstart_plan(), "Training", "Resizing"),
            (evicted(check=StageOutcome(state=StageState.RUNNING)), quickstart_plan(train=None), "Checking", "Running"),
            (seen("check", train=TrainOutcome(state=StageState.SUSPENDED, attempts=1)), hub_plan(suspend=True), "Suspended", "Suspended"),
            (seen("check"), quickstart_plan(suspend=True, train=None), "Suspended", "Suspended"),
            (seen("check", train=RUNNING), quickstart_plan(suspend=True), "Training", "Suspending"),
            (
                seen("check", train=TrainOutcome(state=StageState.PENDING, attempts=1)),
                quickstart_plan(suspend=True),
                "Training",
                "Suspending",
            ),
            (seen(check=StageOutcome(state=StageState.RUNNING)), quickstart_plan(suspend=True), "Checking", "Running"),
            (seen("check", "train"), exporting(quickstart_plan()), "Exporting", "Pending"),
            (seen("check", "train", export=StageOutcome(state=StageState.RUNNING)), exporting(quickstart_plan()), "Exporting", "Running"),
            (seen("check", "train", "export"), serving(quickstart_plan()), "Deploying", "Pending"),
            (seen("check", "train", "export", "serve"), serving(quickstart_plan()), "Serving", "Serving"),
            (seen("train", "export", "serve"), serving(quickstart_plan()), "Serving", "Serving"),
        ],
    )
    def test_phases_of_a_job(self, observation, plan, phase, reason):
        summary = status(observation, plan)
        assert (summary.phase, summary.reason) == (phase, reason)

    def test_a_job_without_a_server_is_complete_after_its_export(self):
        summary = status(seen("check", "train", "export"), exporting(quickstart_plan()), job=a_job(serving=False))
        assert summary.phase == "Complete"
        assert conditions(summary)["Ready"] == ("True", "Complete")
        assert conditions(summary)["Deployed"] == ("False", "NotWanted")
        assert summary.serving is None


class TestConditions:
    def test_an_unfinished_job_is_reconciling_and_not_ready(self):
        assert conditions(status(seen("check", train=RUNNING))) == {
            "Ready": ("False", "Running"),
            "Reconciling": ("True", "Running"),
            "Validated": ("True", "Succeeded"),
            "Trained": ("Unknown", "Running"),
            "Exported": ("Unknown", "Pending"),
            "Deployed": ("Unknown", "Pending"),
        }

    def test_a_finished_job_is_only_ready(self):
        found = conditions(status(seen("check", "train", "export", "serve"), serving(quickstart_plan())))
        assert found == {
            "Ready": ("True", "Serving"),
            "Validated": ("True", "Succeeded"),
            "Trained": ("True", "Succeeded"),
            "Exported": ("True", "Succeeded"),
            "Deployed": ("True", "Succeeded"),
        }

    def test_a_job_that_failed_is_stalled(self):
        found = conditions(status(seen(check=failed(BROKEN)), quickstart_plan(train=None)))
        assert found["Ready"] == ("False", "DataInvalid")
        assert found["Stalled"] == ("True", "DataInvalid")
        assert found["Validated"] == ("False", "DataInvalid")
        assert "Reconciling" not in found

    @pytest.mark.parametrize(
        ("allowed", "phase", "ready", "reason"),
        [(False, "Failed", ("False", "ModelRegressed"), "ModelRegressed"), (True, "Serving", ("True", "Serving"), "RegressionAllowed")],
    )
    def test_a_regressed_model_is_served_only_if_the_job_allows_it(self, allowed, phase, ready, reason):
        report = EXPORTED.model_copy(update={"evaluation": EXPORTED.evaluation.model_copy(update={"tuned": WORSE})})
        exported = StageOutcome(state=StageState.SUCCEEDED, report=report)
        stages = ("check", "train", "serve") if allowed else ("check", "train")
        summary = status(seen(*stages, export=exported), serving(quickstart_plan()), job=a_job(evaluation={"allowRegression": allowed}))
        found = conditions(summary)
        assert (summary.phase, found["Ready"], found["ModelRegressed"]) == (phase, ready, ("True", reason))
        assert ("Stalled" in found) is not allowed
        assert (summary.failure is None) is allowed
        told = next(condition.message for condition in summary.conditions if condition.type == "ModelRegressed")
        assert "19820" in told
        assert "3.2" in told
        assert summary.evaluation.tuned.loss == "19820"
        assert summary.artifacts, "the model is kept and listed"

    @pytest.mark.parametrize(
        ("phase", "deployed", "ready_replicas", "wanted"),
        [
            ("Serving", ("True", "Succeeded"), 1, True),
            ("Failed", ("Unknown", "Pending"), 0, True),
            ("Failed", ("False", "NotWanted"), 1, False),
        ],
        ids=["it answers", "it does not answer now", "the job wants no server"],
    )
    def test_a_regressed_model_that_is_already_served_stays_and_is_stalled(self, phase, deployed, ready_replicas, wanted):
        report = EXPORTED.model_copy(update={"evaluation": EXPORTED.evaluation.model_copy(update={"tuned": WORSE})})
        runs = ServeOutcome(state=StageState.SUCCEEDED, ready_replicas=ready_replicas, url=URL, rollout=Rollout(live=OLD, current=True))
        observation = seen("check", "train", export=StageOutcome(state=StageState.SUCCEEDED, report=report), serve=runs)
        summary = status(observation, serving(quickstart_plan()) if wanted else None, job=a_job(serving=wanted))
        found = conditions(summary)
        assert (summary.phase, found["Ready"], found["Deployed"]) == (phase, ("False", "ModelRegressed"), deployed)
        assert found["Stalled"] == found["ModelRegressed"] == ("True", "ModelRegressed")
        assert summary.failure.reason == "ModelRegressed"
        assert "19820" in summary.message
        assert ("the running server" in summary.message) is wanted

    def test_a_loss_that_is_not_finite_is_in_the_message(self):
        worse = WORSE.model_copy(update={"loss": None})
        report = EXPORTED.model_copy(update={"evaluation": EXPORTED.evaluation.model_copy(update={"tuned": worse})})
        summary = status(seen("check", "train", export=StageOutcome(state=StageState.SUCCEEDED, report=report)), job=a_job())
        assert (summary.reason, summary.evaluation.tuned.loss) == ("ModelRegressed", "NaN")
        assert "not a finite number" in summary.failure.message

    def test_a_suspended_job_is_neither_reconciling_nor_stalled(self):
        found = conditions(status(seen("check"), quickstart_plan(suspend=True)))
        assert found["Suspended"] == ("True", "Suspended")
        assert {"Reconciling", "Stalled"}.isdisjoint(found)

    @pytest.mark.parametrize(
        "failure", [None, Failure(reason="Unschedulable", message="no node")], ids=["saving", "still waiting for a node"]
    )
    @pytest.mark.parametrize("state", [StageState.RUNNING, StageState.PENDING])
    def test_a_job_with_remaining_pods_is_suspending_not_suspended(self, state, failure):
        summary = status(seen("check", train=TrainOutcome(state=state, attempts=1, failure=failure)), quickstart_plan(suspend=True))
        assert conditions(summary)["Suspended"] == ("False", "Suspending")
        assert conditions(summary)["Reconciling"] == ("True", "Suspending")
        assert summary.message == "train is being suspended (spec.suspend): its pods save and end"

    @pytest.mark.parametrize("failure", [None, Failure(reason="NoProgress", message="no step")], ids=["saving", "long without a step"])
    def test_a_gang_that_its_queue_evicts_is_evicting(self, failure):
        summary = status(evicted("check", train=replace(RUNNING, failure=failure)), hub_plan())
        assert conditions(summary)["Reconciling"] == ("True", "Evicting")
        assert conditions(summary)["Trained"] == ("Unknown", "Evicting")
        assert "Suspended" not in conditions(summary)
        assert summary.message == "train is being evicted by its queue: its pods save and end"

    def test_a_failed_attempt_with_a_retry_does_not_fail_the_job(self):
        outcome = TrainOutcome(state=StageState.FAILED, failure=LOST, attempts=1, counted_failures=1)
        summary = status(seen("check", train=outcome), quickstart_plan(train=replace(GANG, attempt=1)))
        assert summary.phase == "Training"
        assert conditions(summary)["Trained"] == ("Unknown", "Retrying")
        assert "Stalled" not in conditions(summary)
        assert "attempt 1 failed, the next one follows: no space left" in summary.message

    def test_the_last_failed_attempt_fails_the_job(self):
        outcome = TrainOutcome(state=StageState.FAILED, failure=LOST, attempts=2, counted_failures=2)
        summary = status(seen("check", train=outcome), quickstart_plan(train=replace(GANG, attempt=1)))
        assert (summary.phase, conditions(summary)["Trained"]) == ("Failed", ("False", "DiskFull"))
        without_plan = status(seen("check", train=outcome), quickstart_plan(train=None))
        assert without_plan.phase == "Failed"

    def test_the_time_of_a_condition_changes_with_its_status_only(self):
        first = status(seen(check=StageOutcome(state=StageState.PENDING))).wire()
        later = status(seen("check", train=RUNNING), now=NOON + timedelta(minutes=5), previous=first)
        since = {condition.type: condition.last_transition_time for condition in later.conditions}
        assert since["Ready"] == NOON
        assert since["Trained"] == NOON
        assert since["Validated"] == NOON + timedelta(minutes=5)

    def test_times_have_whole_seconds(self):
        summary = status(seen(), now=NOON + timedelta(microseconds=5))
        assert {condition.last_transition_time for condition in summary.conditions} == {NOON}

    def test_every_condition_has_its_observed_generation(self):
        summary = status(seen(), job=a_job(generation=7))
        assert {condition.observed_generation for condition in summary.conditions} == {summary.observed_generation} == {7}

    def test_the_same_observation_gives_the_same_status(self):
        observation = seen("check", train=RUNNING)
        first = status(observation).wire()
        assert status(observation, now=NOON + timedelta(minutes=10), previous=first).wire() == first


class TestFailures:
    def test_a_failure_has_its_pod_and_its_way_out(self):
        failed_pod = PodState(name="support-bot-train-0-1-abcde", index=1, exit_code=65)
        observation = seen(
            "check", train=TrainOutcome(state=StageState.FAILED, failure=BROKEN, attempts=1), failed_pods={TRAIN: failed_pod}
        )
        found = status(observation).wire()["failure"]
        assert found == {
            "stage": "trainer",
            "reason": "DataInvalid",
            "message": "train.jsonl line 3: no role",
            "rank": 1,
            "suggestion": found["suggestion"],
            "pod": "support-bot-train-0-1-abcde",
            "exitCode": 65,
        }
        assert found["suggestion"].startswith(f"{BROKEN.suggestion} A retry alone does not help")

    def test_a_failure_without_a_suggestion_gets_the_tables(self):
        stuck = StageOutcome(state=StageState.PENDING, failure=Failure(reason="Unschedulable", message="0/3 nodes"))
        summary = status(seen("check", "train", export=stuck), exporting(quickstart_plan()))
        assert "Add nodes that fit" in summary.failure.suggestion
        assert summary.message.startswith("export is pending: 0/3 nodes. Add nodes")

    def test_an_unknown_reason_has_no_suggestion(self):
        stuck = StageOutcome(state=StageState.PENDING, failure=Failure(reason="Novelty", message="who knows"))
        summary = status(seen(check=stuck))
        assert (summary.failure.suggestion, summary.message) == ("", "check is pending: who knows")

    def test_a_resolved_failure_is_only_named_in_the_message(self):
        outcome = TrainOutcome(state=StageState.FAILED, failure=LOST, attempts=1)
        first = status(seen("check", train=outcome), quickstart_plan(train=replace(GANG, attempt=1)))
        second = status(seen("check", train=replace(RUNNING, attempts=2, before=LOST)), previous=first.wire())
        assert first.failure is not None
        assert (second.failure, second.attempts) == (None, 2)
        assert second.message == f"train is running (attempt 2; the previous one ended: {LOST.reason})"

    def test_a_long_message_is_cut(self):
        summary = status(seen(check=failed(Failure(reason="Long", message="x" * 5000))))
        assert len(summary.message) == 1024
        assert summary.message.endswith("…")


class TestBeforeAPlan:
    def test_an_invalid_job_is_stalled_with_its_problems(self):
        summary = summarise_invalid("spec.method.lora.r: 0 is below 1", generation=3, now=NOON, previous=None)
        assert conditions(summary) == {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}
        assert (summary.phase, summary.message, summary.observed_generation) == ("Failed", "spec.method.lora.r: 0 is below 1", 3)

    def test_a_job_without_a_plan_is_stalled_with_the_planners_reason(self):
        named = summarise_rejected("MemoryDoesNotFit", "61 GiB of 24 GiB", generation=1, now=NOON, previous=None)
        assert conditions(named)["Stalled"] == ("True", "MemoryDoesNotFit")
        assert summarise_rejected("", "no", generation=1, now=NOON, previous=None).reason == "PlanRejected"

    def test_a_job_that_waits_for_a_secret_is_reconciling(self):
        missing = [
            Missing(field="spec.model.source.huggingFace.tokenSecretRef", kind="Secret", name="hf", message="create it"),
            Missing(field="spec.data.train[0]", kind="Folder", name="/x", message="is not there"),
        ]
        summary = summarise_missing(missing, generation=1, now=NOON, previous=None)
        assert conditions(summary) == {"Ready": ("False", "ReferenceMissing"), "Reconciling": ("True", "ReferenceMissing")}
        assert summary.phase == "Waiting"
        assert "Secret hf: create it; spec.data.train[0]: Folder /x: is not there" in summary.message

    def test_an_object_missing_during_training_is_a_warning(self):
        gone = Missing(field="spec.workers.serviceAccountName", kind="ServiceAccount", name="tuner", message="create it")
        summary = status(seen("check", train=RUNNING), quickstart_plan(lacking=(gone,)))
        assert summary.phase == "Training"
        assert summary.warnings[0] == "spec.workers.serviceAccountName: ServiceAccount tuner: create it"

    @pytest.mark.parametrize(
        ("phase", "beside_ready", "reason", "field", "previous"),
        [
            ("Waiting", "Reconciling", "WebhookFailed", "", None),
            ("Training", "Reconciling", "QuotaExceeded", "", {"phase": "Training"}),
            ("Failed", "Stalled", "RefusedByPolicy", "", {"phase": "Training"}),
            ("Failed", "Stalled", "FieldInvalid", "spec.template", None),
            ("Failed", "Stalled", "NameTaken", "", None),
        ],
    )  # without pods that run
    def test_a_refused_object_is_reported_with_its_field_and_a_way_out(self, phase, beside_ready, reason, field, previous):
        summary = summarise_refused(reason, "apply Job a/b: no", field=field, generation=1, now=NOON, previous=previous)
        assert conditions(summary) == {"Ready": ("False", reason), beside_ready: ("True", reason)}
        assert summary.phase == phase
        assert summary.failure.message == "apply Job a/b: no" + (f" (field {field})" if field else "")
        assert summary.message.startswith(summary.failure.message)
        assert bool(summary.failure.suggestion) == (reason != "NameTaken")

    def test_a_refused_object_is_reported_beside_the_progress_of_pods_that_run(self):
        present = status(seen("check", train=RUNNING), progress=posted(percentage=30))
        before = summarise_refused("FieldInvalid", "no", generation=1, now=NOON, previous=None, present=present)
        assert (before.phase, before.reason, before.progress.progress_percentage) == ("Training", "FieldInvalid", 30)
        said = {kind: state for kind, state in conditions(present).items() if kind != "Reconciling"}
        assert conditions(before) == said | {"Ready": ("False", "FieldInvalid"), "Stalled": ("True", "FieldInvalid")}
        hour_later = NOON + timedelta(hours=1)
        later = summarise_refused("FieldInvalid", "no", generation=1, now=hour_later, previous=before.wire(), present=present)
        assert later == before, "the time is that of the first refusal"

    @pytest.mark.parametrize(("phase", "previous"), [("Waiting", None), ("Training", {"phase": "Training"})])
    def test_a_missing_right_keeps_the_jobs_phase(self, phase, previous):
        summary = summarise_forbidden("cannot create jobs", generation=1, now=NOON, previous=previous)
        assert conditions(summary) == {"Ready": ("False", "OperatorForbidden"), "Reconciling": ("True", "OperatorForbidden")}
        assert (summary.phase, summary.message) == (phase, "cannot create jobs")

    @pytest.mark.parametrize(("phase", "previous"), [("Waiting", None), ("Training", {"phase": "Training"})])
    def test_a_defect_of_the_operator_keeps_the_jobs_phase(self, phase, previous):
        summary = summarise_defect(ValueError("bad\nvalue"), generation=1, now=NOON, previous=previous)
        assert conditions(summary) == {"Ready": ("False", "OperatorFailed"), "Reconciling": ("True", "OperatorFailed")}
        assert summary.phase == phase
        assert "ValueError: bad value. It tries again" in summary.message

    def test_results_are_kept_meanwhile(self):
        before = status(seen("check", "train", "export", "serve"), serving(quickstart_plan())).wire()
        summary = summarise_invalid("no", generation=2, now=NOON + timedelta(hours=1), previous=before)
        assert summary.serving.url == URL
        assert conditions(summary)["Trained"] == ("True", "Succeeded")
        assert [condition.type for condition in summary.conditions[:2]] == ["Ready", "Stalled"]

    def test_an_invalid_stored_status_counts_as_none(self):
        assert status(seen(), previous={"conditions": "none"}).wire() == status(seen()).wire()


class TestResults:
    def test_the_zero_decision_is_shown_with_its_arithmetic(self):
        fit = MemoryFit(
            zero_stage=3,
            offload_optimizer="cpu",
            offload_param="nvme",
            world_size=8,
            estimated_bytes_per_rank=0,  # of the model states alone
            needed_bytes_per_rank=1,
            available_bytes_per_rank=2,
            why="because",
        )
        assert status(seen(), quickstart_plan(fit=fit)).wire()["plan"] == {
            "zeroStage": 3,
            "offload": "optimizer:cpu,param:nvme",
            "workers": 8,
            "worldSize": 8,
            "estimatedBytesPerRank": 1,
            "availableBytesPerRank": 2,
            "why": "because",
        }

    def test_checks_result_is_kept_after_its_pods(self):
        first = status(seen("check", train=RUNNING)).wire()
        later = status(seen(check=StageOutcome(state=StageState.SUCCEEDED), train=RUNNING), previous=first)
        assert later.data.train_samples == 3000
        assert later.warnings == tuple(CHECKED.warnings)

    def test_numbers_of_other_inputs_are_dropped(self):
        first = status(seen("check", "train", "export"), quickstart_plan(revision="older")).wire()
        later = status(seen(), previous=first)
        assert (later.data, later.progress, later.artifacts, later.evaluation) == (None, None, (), None)

    def test_a_held_out_share_of_train_is_shown(self):
        plan = quickstart_plan()
        share = plan.config.data.model_copy(update={"val_set_size": 0.1})
        summary = status(seen("check"), replace(plan, config=plan.config.model_copy(update={"data": share})))
        assert summary.data.split == "10% of train is held out for validation (data.valSetSize)"

    def test_artifacts_and_scores_are_shown_as_text(self):
        found = status(seen("check", "train", "export"), exporting(hub_plan())).wire()
        (artifact,) = found["artifacts"]
        assert artifact["uri"] == "pvc://models/tuned/phi3/3f9a1c2b"  # of this job, whatever folder is reported
        assert artifact["parity"] == {"maxLogitDifference": "0.0123457", "meanKl": "1.5e-06", "top1Agreement": "0.998", "positions": 512}
        assert found["evaluation"]["tuned"] == {"loss": "1.31", "tokenAccuracy": "0.7", "exactMatch": "0.42", "samples": 50}
        assert found["evaluation"]["base"] == {"loss": "3.2", "tokenAccuracy": "0.31", "samples": 50}

    def test_an_artifact_at_the_root_of_a_claim_has_a_valid_path(self):
        plan = exporting(quickstart_plan(storage=Storage(output_claim="out", models_claim="out", models_path="/a/b/")))
        assert status(seen("check", "train", "export"), plan).artifacts[0].uri == "pvc://out/a/b/support-bot/3f9a1c2b"

    def test_the_whole_status_is_json(self):
        found = status(seen("check", "train", "export", "serve"), serving(quickstart_plan())).wire()
        assert json.loads(json.dumps(found)) == found


class TestServing:
    @pytest.mark.parametrize(
        ("expected", "state", "rollout"),
        [
            ((None, None, None), StageState.RUNNING, Rollout(live=NEW)),
            (("new", None, None), StageState.SUCCEEDED, Rollout(live=NEW, completed=True)),
            (("old", None, None), StageState.RUNNING, Rollout(live=NEW, previous=OLD)),
            (("new", "old", None), StageState.SUCCEEDED, Rollout(live=NEW, previous=OLD)),
            (("new", "old", None), StageState.RUNNING, Rollout(live=NEW, completed=True, previous=OLD)),
            (("old", None, "new"), StageState.FAILED, Rollout(live=OLD, previous=OLD, refused=Refusal(revision="new", failure=BROKEN))),
        ],
        ids=["the first starts", "the first", "another one starts", "another one", "another one that lost a pod", "rolled back"],
    )
    def test_serving_and_previous_revision(self, expected, state, rollout):
        found = serving_status(ServeOutcome(state=state, url=URL, ready_replicas=1, rollout=rollout), None)
        assert (found.revision, found.previous_revision, found.rolled_back_revision) == expected
        assert found.url == (URL if expected[0] else None)

    def test_there_is_no_url_before_a_server_is_ready(self):
        starting = seen("check", "train", "export", serve=ServeOutcome(state=StageState.RUNNING, url=URL))
        assert status(starting, serving(quickstart_plan())).serving.url is None

    def test_a_missing_server_keeps_the_recorded_revision(self):
        assert status(Observation(past=seen("check").past)).serving is None


def test_a_status_with_an_unknown_phase_counts_as_none():
    stored = status(seen("check", train=RUNNING)).wire() | {"phase": "Baking", "revision": "f"}
    assert status(seen(), quickstart_plan(train=None), previous=stored).phase == "Checking"
