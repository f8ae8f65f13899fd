"""After its own way out, the suggestion of a failed stage has how it runs again, and when a retry does not help."""

import pytest
from plan_builders import quickstart_plan
from status_builders import EXPORTED, NOON, a_job, seen

from tunewright.plan.inputs import ServeOutcome, StageOutcome, StageState, TrainOutcome
from tunewright.plan.label_names import RETRY as RETRIED
from tunewright.plan.plan_types import Objection, PodPlan
from tunewright.plan.rollout import Choice, Refusal, Rollout, ServingRevision
from tunewright.status import summarise
from tunewright.status.retries import can_help
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import EvaluationReport, Failure, Score

LIVE = ServingRevision(name="a", template={})
FAIL, RETRY = Disposition.FAIL, Disposition.RETRY
RAISE = (
    "Free some. Failures that count: 4, more than spec.backoffLimit. To continue from the last checkpoint, raise it, or set another value"
)
ATTEMPTS = "Free some. All of its 3 attempts failed. To run the stage again, set another value"
INPUTS = "Free some. A retry alone does not help: the same inputs give the same failure."


def failed(reason, then, **more):
    kind = TrainOutcome if more else StageOutcome
    return kind(state=StageState.FAILED, failure=Failure(reason=reason, message="x", suggestion="Free some."), disposition=then, **more)


def gang(reason, then):
    return seen("check", train=failed(reason, then, attempts=4, counted_failures=4))


@pytest.mark.parametrize(
    ("begins", "observed"),
    [
        (RAISE, gang("DiskFull", RETRY)),
        (INPUTS, gang("NaNLoss", FAIL)),
        ("Free some.", gang("DeadlineExceeded", FAIL)),
        (ATTEMPTS, seen(check=failed("DiskFull", RETRY))),
        (ATTEMPTS, seen("check", "train", export=failed("JobFailed", RETRY))),
        (INPUTS, seen(check=failed("DataInvalid", FAIL))),
        ("Free some. To run the stage again", seen("check", "train", export=failed("ReportInvalid", FAIL))),
    ],
)
def test_the_suggestion_of_a_stage_that_failed_for_good(begins, observed):
    status = summarise(a_job(serving=False), quickstart_plan(), observed, serving=None, progress=None, now=NOON, previous=None)
    assert status.phase == "Failed"
    assert status.failure.suggestion.startswith(begins)
    assert status.failure.suggestion in status.message


def retried(observed, plan=None, *, serving=False, retry="2"):
    """Return the warnings of a job with a retry."""
    job = a_job(serving=serving)
    job = job.model_copy(update={"metadata": job.metadata.model_copy(update={"annotations": {RETRIED: retry}})})
    choice = Choice(run=LIVE) if serving else None
    status = summarise(job, plan or quickstart_plan(), observed, serving=choice, progress=None, now=NOON, previous=None)
    return [text for text in status.warnings if "annotation" in text]


def check(state, **more):
    return seen(check=StageOutcome(state=state, retry="1", **more))


def refused_server():
    refusal = Refusal(revision="b", failure=Failure(reason="SmokeTestFailed", message="x"))
    rollout = Rollout(live=LIVE, current=True, previous=LIVE, refused=refusal)
    server = ServeOutcome(state=StageState.FAILED, failure=refusal.failure, ready_replicas=1, rollout=rollout)
    return seen("check", "train", "export", serve=server)


WORSE = EXPORTED.model_copy(
    update={"evaluation": EvaluationReport(base=Score(loss=1.0, token_accuracy=0.5), tuned=Score(loss=9.0, token_accuracy=0.5))}
)
OBJECTION = Objection(reason="GangIsWhole", message="x")


@pytest.mark.parametrize(
    ("why", "observed", "plan"),
    [
        ("every stage has succeeded", seen("check", "train", "export"), None),
        ("check has not failed. It is used once if that stage fails", check(StageState.RUNNING), None),
        ("check has not failed. It is used once if that stage fails", check(StageState.PENDING), None),
        (
            "the model is worse than its base, and another export is the same model",
            seen("check", "train", export=StageOutcome(state=StageState.SUCCEEDED, report=WORSE)),
            None,
        ),
        ("a change of the job is refused", check(StageState.FAILED), quickstart_plan(objection=OBJECTION)),
        (None, check(StageState.FAILED), quickstart_plan(check=PodPlan(replaces=True))),
        (None, seen(), None),
        (None, seen(check=StageOutcome(state=StageState.RUNNING, retry="2")), None),
    ],
)
def test_a_retry_without_effect_is_a_warning(why, observed, plan):
    assert retried(observed, plan) == ([f"the annotation tunewright.io/retry has no effect: {why}"] if why else [])
    assert retried(observed, plan, retry="") == []


@pytest.mark.parametrize(
    ("why", "observed"),
    [
        (None, refused_server()),
        (None, seen("check", "train", "export", "serve")),
        (
            "Kubernetes restarts the server's pods without it",
            seen(
                "check",
                "train",
                "export",
                serve=ServeOutcome(state=StageState.FAILED, failure=Failure(reason="SmokeTestFailed", message="x")),
            ),
        ),
    ],
)
def test_a_retry_of_a_server_has_an_effect_if_a_revision_was_rolled_back(why, observed):
    assert retried(observed, serving=True) == ([f"the annotation tunewright.io/retry has no effect: {why}"] if why else [])


def test_a_revision_that_was_rolled_back_has_the_way_to_try_it_again():
    status = summarise(a_job(), quickstart_plan(), refused_server(), serving=None, progress=None, now=NOON, previous=None)
    assert status.reason == "RolledBack"
    assert "to try this revision again, set another value of the annotation" in status.failure.suggestion
    assert status.message.endswith(status.failure.suggestion)


@pytest.mark.parametrize(
    ("helps", "status"),
    [
        (True, {"phase": "Failed", "reason": "DiskFull", "failure": {"stage": "exporter"}}),
        (True, {"phase": "Serving", "reason": "RolledBack", "failure": {"stage": "server"}}),
        (False, {"phase": "Failed", "reason": "SmokeTestFailed", "failure": {"stage": "server"}}),
        (False, {"phase": "Failed", "reason": "ModelRegressed", "failure": {"stage": "exporter"}}),
        (False, {"phase": "Failed", "reason": "InvalidSpec", "failure": {"stage": "planner"}}),
        (False, {"phase": "Checking", "reason": "InvalidImageName", "failure": {"stage": "checker"}}),
        (False, {"phase": "Complete", "reason": "Complete"}),
        (False, {}),
    ],
)
def test_for_which_jobs_a_retry_helps(helps, status):
    assert can_help(status) is helps
