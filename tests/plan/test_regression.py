"""When a tuned model counts as worse than its base, and what follows."""

from dataclasses import replace

import pytest
from plan_jobs import job
from status_builders import EXPORTED, seen

from tunewright.plan.inputs import StageOutcome, StageState
from tunewright.plan.regression import has_regressed, judged, regression_of
from tunewright.plan.revision import revision_of
from tunewright_contract.reports import EvaluationReport, Score

NAN, INFINITE = float("nan"), float("inf")
ALLOWED = {"evaluation": {"allowRegression": True}}


def scores(base: float, tuned: float) -> EvaluationReport:
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
    ],
)
def test_a_model_regresses_beyond_the_tolerance_and_when_its_loss_is_not_finite(expected, base, tuned):
    assert has_regressed(scores(base, tuned)) is expected


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
def test_losses_that_are_not_finite_are_named(base, tuned, figures):
    assert figures in regression_of(job(), exported(base, tuned)).figures


@pytest.mark.parametrize(
    ("spec", "past"),
    [
        pytest.param({}, exported(2.99, 1.31), id="it is better"),
        pytest.param(ALLOWED, exported(2.99, 19_820.0), id="the job allows it"),
        pytest.param({"serving": {"modelRef": {"name": "other"}}}, exported(2.99, 19_820.0), id="another job's model is served"),
        pytest.param({}, seen("check", "train").past, id="nothing is exported yet"),
        pytest.param({}, replace(seen("check", "train", "export").past, export=StageOutcome(state=StageState.SUCCEEDED)), id="no scores"),
    ],
)
def test_other_jobs_are_left_as_they_are(spec, past):
    assert judged(job(spec), past) is past


def test_an_allowed_regression_is_still_found():
    assert regression_of(job(ALLOWED), exported(2.99, 19_820.0)).allowed


def test_scores_that_status_has_recorded_count_when_the_report_is_gone():
    past = replace(exported(2.99, 1.0), export=StageOutcome(state=StageState.SUCCEEDED), recorded_scores=scores(2.99, 19_820.0))
    assert judged(job(), past).export.state is StageState.FAILED


def test_allowing_a_regression_is_no_other_model():
    assert revision_of(job(ALLOWED)) == revision_of(job())
    assert revision_of(job({"evaluation": {"maxSamples": 5, "allowRegression": True}})) == revision_of(
        job({"evaluation": {"maxSamples": 5}})
    )
