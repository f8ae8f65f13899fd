"""A stage's report as status stores it, where numbers with a fraction are text."""

import pytest
from plan_builders import quickstart_plan
from status_builders import CHECKED

from tunewright.observe.scores import recorded_scores
from tunewright.status.results import data_status, evaluation_status
from tunewright_contract.reports import EvaluationReport, Score


def test_a_classifier_has_an_accuracy_of_its_own_and_no_tokens():
    score = Score(loss=0.25, token_accuracy=0.9, f1_macro=0.85, samples=40)
    found = evaluation_status(EvaluationReport(base=score, tuned=score)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert found["tuned"] == {"loss": "0.25", "accuracy": "0.9", "f1Macro": "0.85", "samples": 40}


def test_answers_in_a_context_have_an_exact_match_and_an_f1():
    score = Score(loss=0.25, token_accuracy=0.9, exact_match=0.5, f1=0.75, samples=40)
    found = evaluation_status(EvaluationReport(base=score, tuned=score)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert found["tuned"] == {"loss": "0.25", "exactMatch": "0.5", "f1": "0.75", "samples": 40}


def test_entities_have_precision_and_recall_and_the_accuracy_of_tags():
    score = Score(loss=0.25, token_accuracy=0.9, f1=0.8, precision=0.75, recall=0.85, samples=40)
    found = evaluation_status(EvaluationReport(base=score, tuned=score)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert found["tuned"] == {"loss": "0.25", "accuracy": "0.9", "f1": "0.8", "precision": "0.75", "recall": "0.85", "samples": 40}


@pytest.mark.parametrize(
    "measured",
    [{"bleu": "31.5", "chrf": "60.25"}, {"rouge1": "0.5", "rouge2": "0.25", "rougeL": "0.4", "rougeLsum": "0.45"}],
    ids=["a translation", "a summary"],
)
def test_generated_texts_have_the_metrics_of_their_task(measured):
    score = Score.model_validate(
        {"loss": 0.25, "tokenAccuracy": 0.9, "samples": 40, **{name: float(text) for name, text in measured.items()}}
    )
    found = evaluation_status(EvaluationReport(base=score, tuned=score)).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert found["tuned"] == {"loss": "0.25", "tokenAccuracy": "0.9", "samples": 40, **measured}
    assert recorded_scores({"evaluation": found}).tuned == score


@pytest.mark.parametrize(
    ("expected", "count", "labels"),
    [
        (None, 0, {}),
        ("2 labels: order 30, table 10", 2, {"order": 30, "table": 10}),
        ("40 labels: order 30 and 39 more", 40, {"order": 30}),
    ],
)
def test_labels_are_counted(expected, count, labels):
    data = CHECKED.data.model_copy(update={"label_count": count, "labels": labels})
    assert data_status(CHECKED.model_copy(update={"data": data}), quickstart_plan()).labels == expected
