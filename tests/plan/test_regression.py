"""When a tuned model counts as worse than its base, and what follows."""

from dataclasses import replace

import pytest
from plan_jobs import checked, job, past_of
from status_builders import EXPORTED, seen

from tunewright.plan.inputs import Defaults, Missing, References, ServeOutcome, StageOutcome, StageState
from tunewright.plan.names import revision_of
from tunewright.plan.plan import plan
from tunewright.plan.regression import has_regressed, judged, regression_of, stopped_by_regression
from tunewright.plan.rollout import PublishedModel, Rollout, ServingRevision
from tunewright_contract.reports import EvaluationReport, Score

NAN, INFINITE = float("nan"), float("inf")
ALLOWED = {"evaluation": {"allowRegression": True}}


def scores(base: float | None, tuned: float | None) -> EvaluationReport:
    return EvaluationReport(base=Score(loss=base, token_accuracy=0.5, samples=30), tuned=Score(loss=tuned, token_accuracy=0.5, samples=30))


def exported(base: float, tuned: float):
    report = EXPORTED.model_copy(update={"evaluation": scores(base, tuned)})
    return seen("check", "train", export=StageOutcome(state=StageState.SUCCEEDED, report=report)).past


@pytest.mark.parametrize(
    ("expected", "base", "tuned"),
    [
        (False, 2.99, 1.31),
        (False, 2.99, 2.99),
        (False, 2.0, 2.1),  # 5 % are within the tolerance
        (True, 2.0, 2.11),
        (True, 2.99, 19_820.0),
        (True, 2.99, NAN),
        (True, 2.99, INFINITE),
        (True, NAN, NAN),
        (False, NAN, 1.0),
        (False, INFINITE, 1.0),
        (False, 0.0, 0.01),  # a base that is already near zero
        (False, 1e-6, 2e-3),
        (True, 0.0, 0.02),
        (True, 2.99, None),
        (True, None, None),
        (False, None, 1.0),
    ],
)
def test_a_model_regresses_beyond_the_tolerance_and_when_its_loss_is_not_finite(expected, base, tuned):
    assert has_regressed(scores(base, tuned)) is expected


@pytest.mark.parametrize(("expected", "loss"), [(False, 0.1), (False, 1.38), (True, 1.6), (True, None)])
def test_a_classifier_is_judged_by_its_cross_entropy(expected, loss):
    base = Score(loss=1.386, token_accuracy=0.25, f1_macro=0.1, samples=30)  # four labels and a random head: ln 4
    assert has_regressed(EvaluationReport(base=base, tuned=Score(loss=loss, token_accuracy=0.5, f1_macro=0.4))) is expected


def test_a_regressed_model_fails_the_job_with_both_figures_and_a_way_out():
    outcome = judged(job(), exported(2.99, 19_820.0)).export
    assert outcome.state is StageState.FAILED
    assert outcome.failure.reason == "ModelRegressed"
    assert outcome.failure.message.startswith("on 30 held-out examples the tuned model's loss is 19820 and the base model's 2.99")
    assert "evaluation.allowRegression: true" in outcome.failure.suggestion
    assert outcome.report.artifacts == EXPORTED.artifacts, "the model is kept and listed"


@pytest.mark.parametrize(
    ("base", "tuned", "figures"),
    [(2.99, NAN, "is not a finite number, and the base model's is 2.99"), (NAN, NAN, "the base model's is not finite")],
)
def test_losses_that_are_not_finite_are_reported(base, tuned, figures):
    assert figures in regression_of(job(), exported(base, tuned)).figures


@pytest.mark.parametrize(
    ("spec", "past"),
    [
        pytest.param({}, exported(2.99, 1.31), id="it is better"),
        pytest.param(ALLOWED, exported(2.99, 19_820.0), id="the job allows it"),
        pytest.param({"serving": {"modelRef": {"name": "other"}}}, exported(2.99, 19_820.0), id="another job's model is served"),
        pytest.param({}, seen("check", "train").past, id="nothing is exported yet"),
        pytest.param({}, past_of(seen("check", "train", "export").past, export=StageOutcome(state=StageState.SUCCEEDED)), id="no scores"),
    ],
)
def test_other_jobs_are_not_changed(spec, past):
    assert judged(job(spec), past) is past


def test_an_allowed_regression_is_still_found():
    assert regression_of(job(ALLOWED), exported(2.99, 19_820.0)).allowed


def test_scores_that_status_has_recorded_count_when_the_report_is_gone():
    past = replace(past_of(exported(2.99, 1.0), export=StageOutcome(state=StageState.SUCCEEDED)), recorded_scores=scores(2.99, 19_820.0))
    assert judged(job(), past).export.state is StageState.FAILED


def test_allowing_a_regression_keeps_the_revision():
    assert revision_of(job(ALLOWED)) == revision_of(job())
    assert revision_of(job({"evaluation": {"maxSamples": 5, "allowRegression": True}})) == revision_of(
        job({"evaluation": {"maxSamples": 5}})
    )


OTHER = PublishedModel(job="other", revision="2", claim="other-output", path="models")
WORSE_OTHER = Missing(field="spec.serving.modelRef.name", kind="FineTuneJob", name="other", message="its loss is 19820")
NAMES_OTHER = {"modelRef": {"name": "other"}}
OWN, KEPT, NONE = "its own", "what runs", None


@pytest.mark.parametrize(
    ("expected", "tuned", "allowed", "serving", "served", "runs"),
    [
        pytest.param(OWN, 1.31, False, {}, None, None, id="good"),
        pytest.param(OWN, 1.31, False, {}, None, OWN, id="good, and serves"),
        pytest.param(NONE, 19_820.0, False, {}, None, None, id="worse, and never served"),
        pytest.param(OWN, 19_820.0, True, {}, None, None, id="worse and allowed"),
        pytest.param(OWN, 19_820.0, False, {}, None, OWN, id="worse, and serves: after an upgrade, or not allowed any more"),
        pytest.param(KEPT, 19_820.0, False, {}, None, OTHER, id="worse, and the name of the good one was removed"),
        pytest.param(OWN, 19_820.0, True, {}, None, OTHER, id="worse, the name of the good one was removed, and allowed"),
        pytest.param(OTHER, 19_820.0, False, NAMES_OTHER, OTHER, None, id="worse, and names a good one"),
        pytest.param(OTHER, 19_820.0, False, NAMES_OTHER, OTHER, OWN, id="worse, serves, and names a good one"),
        pytest.param(KEPT, 1.31, False, NAMES_OTHER, WORSE_OTHER, OWN, id="good, and names a worse one"),
        pytest.param(KEPT, 19_820.0, False, NAMES_OTHER, WORSE_OTHER, OWN, id="worse, and names a worse one"),
        pytest.param(OTHER, 1.31, False, NAMES_OTHER, WORSE_OTHER, OTHER, id="names a worse one that it serves already"),
        pytest.param(NONE, 19_820.0, False, None, None, OWN, id="worse, serves, and the user wants no server any more"),
    ],
)
def test_the_model_to_serve(expected, *, tuned, allowed, serving, served, runs):
    """`its own` and a model are rolled out; `what runs` is left as it is; None stops it."""
    spec = {"evaluation": {"allowRegression": allowed}} | ({} if serving is None else {"serving": serving})
    live = None if runs is None else ServingRevision(name="live", template={}, model=None if runs is OWN else runs)
    past = past_of(exported(2.99, tuned), check=checked(), serve=ServeOutcome(rollout=Rollout(live=live, current=True)))
    decided = plan(job(spec), References(served=served), past, Defaults()).serve
    if expected is NONE:
        assert decided is None
        return
    assert decided is not None
    own = PublishedModel(job="support-bot", revision=revision_of(job(spec)), claim="support-bot-output", path="models")
    assert isinstance(decided.model, Missing) if expected is KEPT else decided.model == (own if expected is OWN else expected)


@pytest.mark.parametrize(
    ("told", "way_out", "serving", "live"),
    [
        ("kept, but not served", "evaluation.allowRegression: true", {}, None),
        ("the running server continues", "remove spec.serving", {}, ServingRevision(name="live", template={})),
        ("kept, but not served", "evaluation.allowRegression: true", None, ServingRevision(name="live", template={})),
    ],
    ids=["no server yet", "a server runs", "a server that is not wanted any more"],
)
def test_the_failure_describes_the_state_of_the_server(told, way_out, serving, live):
    past = past_of(exported(2.99, 19_820.0), serve=ServeOutcome(rollout=Rollout(live=live, current=True)))
    found = judged(job({} if serving is None else {"serving": serving}), past)
    assert stopped_by_regression(found)
    assert told in found.export.failure.message
    assert way_out in found.export.failure.suggestion
