"""Scores read back from the status that recorded them."""

import pytest

from tunewright.observe.scores import recorded_scores

SCORE = {"loss": "2.99", "tokenAccuracy": "0.5", "samples": 30}


def status(**tuned):
    return {"evaluation": {"base": SCORE, "tuned": SCORE | tuned}}


def test_losses_are_read_as_numbers():
    found = recorded_scores(status(loss="19820"))
    assert (found.base.loss, found.tuned.loss, found.tuned.samples) == (2.99, 19820.0, 30)


def test_a_classifiers_scores_are_read_back():
    labeled = {"loss": "0.1", "accuracy": "0.9", "f1Macro": "0.85", "samples": 30}
    found = recorded_scores({"evaluation": {"base": labeled, "tuned": labeled}}).tuned
    assert (found.loss, found.token_accuracy, found.f1_macro) == (0.1, 0.9, 0.85)


def test_the_scores_of_answers_in_a_context_are_read_back():
    answered = {"loss": "0.1", "exactMatch": "0.5", "f1": "0.85", "samples": 30}
    found = recorded_scores({"evaluation": {"base": answered, "tuned": answered}}).tuned
    assert (found.loss, found.f1, found.f1_macro) == (0.1, 0.85, None)


def test_scores_of_entities_are_read_back():
    tagged = {"loss": "0.1", "accuracy": "0.9", "f1": "0.8", "precision": "0.7", "recall": "0.95", "samples": 30}
    found = recorded_scores({"evaluation": {"base": tagged, "tuned": tagged}}).tuned
    assert (found.token_accuracy, found.f1, found.precision, found.recall, found.f1_macro) == (0.9, 0.8, 0.7, 0.95, None)


@pytest.mark.parametrize(("text", "value"), [("31.5", 31.5), ("250", 100.0), ("-1", 0.0)])
def test_bleu_is_read_back_from_0_to_100(text, value):
    assert recorded_scores(status(bleu=text)).tuned.bleu == value


@pytest.mark.parametrize("loss", ["NaN", "inf", "a lot", ""])
def test_a_loss_that_is_no_number_is_not_finite(loss):
    assert recorded_scores(status(loss=loss)).tuned.loss is None


@pytest.mark.parametrize("accuracy", ["7", "-1", "NaN", "much"])
def test_an_accuracy_stays_a_share(accuracy):
    assert 0 <= recorded_scores(status(tokenAccuracy=accuracy)).tuned.token_accuracy <= 1


@pytest.mark.parametrize(
    "stored", [None, {}, {"evaluation": None}, {"evaluation": {"tuned": SCORE}}, {"evaluation": {"base": 1}}, {"evaluation": {"base": {}}}]
)
def test_what_was_not_recorded_is_none(stored):
    assert recorded_scores(stored) is None
