"""Reads the scores of an export from the job's stored status, if the export's report is gone."""

from pydantic import ValidationError

from tunewright.api.v1alpha1.status import EvaluationStatus, ScoreStatus
from tunewright.observe.raw import Raw, part
from tunewright_contract.reports import EvaluationReport, Score

_SHARES = ("f1_macro", "f1_micro", "f1", "precision", "recall", "rouge1", "rouge2", "rouge_l", "rouge_lsum")
_PERCENTAGES = ("bleu", "chrf")


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
    measured = {
        name: _share(text, most=most)
        for names, most in ((_SHARES, 1.0), (_PERCENTAGES, 100.0))
        for name in names
        if (text := getattr(stored, name)) is not None
    }
    return Score(loss=_number(stored.loss), token_accuracy=accuracy, samples=max(0, stored.samples), **measured)


def _share(text: str | None, *, most: float = 1.0) -> float:
    return min(most, max(0.0, _number(text or "") or 0.0))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
