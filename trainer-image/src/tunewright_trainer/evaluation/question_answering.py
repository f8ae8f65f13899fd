"""Exact match and F1 of answers, as SQuAD's own evaluation computes them, during training and on held-out questions.

Source: SQuAD's evaluate-v2.0.py. Answers are compared in lower case, without punctuation, articles and repeated white space; F1 counts the
words that both have. Of several references the best one counts. "No answer" equals only a question without answers.
"""

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from tunewright_contract.questions import find_answers
from tunewright_contract.reports import Score
from tunewright_trainer.data.questions import AskedContext
from tunewright_trainer.evaluation.exported_models import FloatArray

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, no punctuation, no articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 if the answer is one of the references, else 0."""
    return max(float(normalise_answer(answer) == normalise_answer(reference)) for reference in _given(references))


def token_f1(answer: str, references: Sequence[str]) -> float:
    """The best F1 of the answer's words against a reference's, from 0 to 1."""
    return max(_f1(normalise_answer(answer).split(), normalise_answer(reference).split()) for reference in _given(references))


def _given(references: Sequence[str]) -> list[str]:
    """The references of which something is left; "no answer" where there is none."""
    return [reference for reference in references if normalise_answer(reference)] or [""]


def _f1(found: list[str], wanted: list[str]) -> float:
    if not found or not wanted:
        return float(found == wanted)
    shared = (Counter(found) & Counter(wanted)).total()
    return 2 * shared / (len(found) + len(wanted))


def answers_of(asked: Sequence[AskedContext], logits: Sequence[FloatArray], *, no_answer: bool) -> list[str]:
    """Each question's best answer. `logits` are [tokens, 2] of each window, the windows of all questions one after the other."""
    found, at = [], 0
    for question in asked:
        sides = [(array[:, 0].tolist(), array[:, 1].tolist()) for array in logits[at : at + len(question.windows)]]
        at += len(question.windows)
        best = find_answers(question.context, question.windows, sides, no_answer=no_answer)
        found.append(best[0].text if best else "")
    return found


def score(asked: Sequence[AskedContext], logits: Sequence[FloatArray], answers: Sequence[str]) -> Score:
    """Compare answers with the references, and the windows' logits with the right tokens."""
    places = [place for question in asked for place in question.places]
    losses, right = [], []
    for array, place in zip(logits, places, strict=True):
        exact = array.astype(np.float64)
        log_sum = np.log(np.exp(exact - exact.max(0)).sum(0)) + exact.max(0)
        losses.append(float((log_sum - exact[list(place), [0, 1]]).mean()))
        right.append(exact.argmax(0).tolist() == list(place))
    return Score(
        loss=float(np.mean(losses)),
        token_accuracy=float(np.mean(right)),
        exact_match=_mean(exact_match, asked, answers),
        f1=_mean(token_f1, asked, answers),
        samples=len(asked),
    )


def training_metrics(
    asked: Sequence[AskedContext], *, no_answer: bool
) -> Callable[[tuple[tuple[FloatArray, FloatArray], object]], dict[str, float]]:
    """For `compute_metrics` of transformers: every metric of the task's row, each of which can choose the best checkpoint.

    The rows that are evaluated are the windows of these questions, in order. Rows are padded on the right.
    """
    lengths = [len(window.tokens) for question in asked for window in question.windows]

    def compute(prediction: tuple[tuple[FloatArray, FloatArray], object]) -> dict[str, float]:
        starts, ends = prediction[0][:2]
        logits = [np.stack([start[:length], end[:length]], -1) for start, end, length in zip(starts, ends, lengths, strict=True)]
        answers = answers_of(asked, logits, no_answer=no_answer)
        return {"exact": _mean(exact_match, asked, answers), "f1": _mean(token_f1, asked, answers)}

    return compute


def _mean(measure: Callable[[str, Sequence[str]], float], asked: Sequence[AskedContext], answers: Sequence[str]) -> float:
    return float(np.mean([measure(answer, question.answers) for answer, question in zip(answers, asked, strict=True)]))
