"""Decides whether the tuned model is worse than its base, and the consequences for the job.

A model has regressed when its loss on the held-out examples is not a finite number, or is above the base model's by more than both bounds
below. Such a model is kept and listed, but the job fails and no server is started for it, unless `spec.evaluation.allowRegression` is true.
A job that holds no examples out, or whose export reports no scores, is not judged.

The rule affects only what starts. It never stops a running server: neither an upgrade of the operator nor `allowRegression` set back to
false does; removing `spec.serving` does.
"""

from dataclasses import dataclass, replace

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.status import Reason
from tunewright.plan.inputs import Missing, Past, StageState
from tunewright.plan.rollout import PublishedModel
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import EvaluationReport, Failure
from tunewright_contract.stages import EXPORT

RELATIVE_TOLERANCE = 0.05  # of the base model's loss; two random samples of 200 examples differ by less
ABSOLUTE_TOLERANCE = 0.01  # nats per token (a classifier: per text): doubling a loss near zero does no harm
REASON = Reason.MODEL_REGRESSED.value
_FIELD = "spec.evaluation.allowRegression"
_WAY_OUT = (
    "Train again under another name with a lower training.learningRate, fewer epochs or better data. "
    "To serve this model anyway, set evaluation.allowRegression: true on this job."
)
_KEPT = "The model is kept, and the running server continues"
_WAY_OUT_OF_KEPT = "To accept this model, set evaluation.allowRegression: true on this job. To stop the server, remove spec.serving."


@dataclass(frozen=True, kw_only=True)
class Regression:
    """A model that is worse than its base. `figures` is one sentence with both losses."""

    figures: str
    allowed: bool


def regression_of(job: FineTuneJob, past: Past) -> Regression | None:
    """Return how the job's exported model has regressed; None if it has not, or if nothing was measured."""
    report = past.export.report
    scores = report.evaluation if report is not None else past.recorded_scores
    if past.export.state is not StageState.SUCCEEDED or scores is None or not has_regressed(scores):
        return None
    return Regression(figures=_figures(scores), allowed=job.spec.evaluation.allow_regression)


def has_regressed(scores: EvaluationReport) -> bool:
    """Compare the two losses."""
    base, tuned = scores.base.loss, scores.tuned.loss
    if tuned is None:
        return True
    return base is not None and tuned > base + max(RELATIVE_TOLERANCE * base, ABSOLUTE_TOLERANCE)


def judged(job: FineTuneJob, past: Past) -> Past:
    """Return the past, with the export as failed if its model has regressed and the job does not allow it.

    A job that serves another job's model continues, even if its own has regressed.
    """
    found = regression_of(job, past)
    if found is None or found.allowed or job.served_job() is not None:
        return past
    if job.spec.serving is not None and past.serve.rollout.live is not None:
        failure = Failure(reason=REASON, message=f"{found.figures}. {_KEPT}", suggestion=_WAY_OUT_OF_KEPT)
    else:
        failure = Failure(reason=REASON, message=f"{found.figures}. The model is exported and kept, but not served", suggestion=_WAY_OUT)
    return past.with_outcome(EXPORT, replace(past.export, state=StageState.FAILED, failure=failure, disposition=Disposition.FAIL))


def stopped_by_regression(past: Past) -> bool:
    """Return whether `judged` has failed the export. No report can claim this reason (`observe/pods.py`)."""
    return past.export.state is StageState.FAILED and past.export.failure is not None and past.export.failure.reason == REASON


def servable(job: FineTuneJob, past: Past, model: PublishedModel | Missing) -> PublishedModel | Missing | None:
    """Return `model` if it can be served; None: no server is started.

    A server that already serves this model is managed as usual. A server of another model keeps that model.
    """
    if not stopped_by_regression(judged(job, past)):
        return model
    live = past.serve.rollout.live
    if live is None:
        return None
    if live.model is None:
        return model
    return Missing(field=_FIELD, kind="Model", name=job.metadata.name, message="it is worse than its base; the present server continues")


def _figures(scores: EvaluationReport) -> str:
    return (
        f"on {scores.tuned.samples} held-out examples the tuned model's loss is {_loss(scores.tuned.loss)} and the base model's "
        f"{_loss(scores.base.loss)}: worse by more than {RELATIVE_TOLERANCE:.0%}"
        if scores.tuned.loss is not None
        else f"on {scores.tuned.samples} held-out examples the tuned model's loss is not a finite number, and the base model's is "
        f"{_loss(scores.base.loss)}"
    )


def _loss(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.6g}"
