"""Reads the scores of an export from the job's stored status, if the export's report is gone."""

from pydantic import ValidationError

from tunewright.api.v1alpha1.status import EvaluationStatus, ScoreStatus
from tunewright.observe.raw import Raw, part
from tunewright_contract.reports import EvaluationReport, Score


def recorded_scores(status: Raw | None) -> EvaluationReport | None:
    """Read `status.evaluation`. None if nothing was recorded; a loss that is not a number counts as not finite."""
    try:
        stored = EvaluationStatus.model_validate(part(status, "evaluation"))
    except ValidationError:
        return None
    if stored.base is None or stored.tuned is None:
        return None
    return EvaluationReport(base=_score(stored.base), tuned=_score(stored.tuned))


def _score(stored: ScoreStatus) -> Score:
    accuracy = _share(stored.token_accuracy or stored.accuracy)
    shares = {name: _share(text) for name in ("f1_macro", "f1", "precision", "recall") if (text := getattr(stored, name)) is not None}
    return Score(loss=_number(stored.loss), token_accuracy=accuracy, samples=max(0, stored.samples), **shares)


def _share(text: str | None) -> float:
    return min(1.0, max(0.0, _number(text or "") or 0.0))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
