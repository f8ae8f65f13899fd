"""Scores of classifiers by the problem that they solve: one label for a text, or each label that holds.

Where several labels can hold, a label holds above a probability of one half, which is a logit above 0. The scores are scikit-learn's for
"multilabel" targets: `accuracy` is the share of texts with all of their labels and no other, the macro scores are means over all labels (0
for a label that is never given, or never holds), and micro F1 counts all labels of all texts together.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tunewright_contract.capabilities.tasks import ONE_LABEL, SEVERAL_LABELS, ProblemType
from tunewright_contract.reports import Score
from tunewright_contract.words import in_list
from tunewright_trainer.evaluation import classification
from tunewright_trainer.evaluation.exported_models import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Scoring(NamedTuple):
    """What differs between the problems. `wanted` is a class number for each text, or 0 or 1 for each of its labels."""

    training_metrics: Callable[[tuple[FloatArray, Any]], dict[str, float]]
    """For `compute_metrics` of transformers: every metric of the task's row."""
    score: Callable[[FloatArray, Any], Score]
    """Compare logits [texts, labels] with what is wanted."""
    chosen: Callable[[FloatArray], "NDArray[Any]"]
    """From logits [texts, labels] to what the model answers, in the form of what is wanted."""
    in_words: Callable[["NDArray[Any]", Sequence[str]], list[str]]
    """Write what is wanted, or chosen, for a person; with the names of the labels."""
    positions: Callable[[FloatArray], FloatArray]
    """From a text's logits [labels] to [positions, choices], which parity compares."""


def scoring_of(problem_type: ProblemType) -> Scoring:
    """Return how answers to a problem are scored."""
    return _SCORINGS[problem_type]


def several_metrics(prediction: tuple[FloatArray, Any]) -> dict[str, float]:
    """Every metric of the task for several labels."""
    given, held = _chosen(np.asarray(prediction[0])), np.asarray(prediction[1]) > 0
    right = (given & held).sum(0)
    return {
        "accuracy": float((given == held).all(-1).mean()),
        "f1_micro": _share(2 * right.sum(), given.sum() + held.sum()),
        "f1_macro": _mean(2 * right, given.sum(0) + held.sum(0)),
        "precision_macro": _mean(right, given.sum(0)),
        "recall_macro": _mean(right, held.sum(0)),
    }


def several_score(logits: FloatArray, wanted: Any) -> Score:
    """The loss is torch's: the mean over texts and labels of the binary cross entropy."""
    exact, held = logits.astype(np.float64), np.array(wanted)
    metrics = several_metrics((logits, held))
    return Score(
        loss=float((np.logaddexp(0, exact) - exact * held).mean()),
        token_accuracy=metrics["accuracy"],
        f1_macro=metrics["f1_macro"],
        f1_micro=metrics["f1_micro"],
        samples=len(held),
    )


def _chosen(logits: FloatArray) -> "NDArray[Any]":
    return logits > 0


def _in_words(held: "NDArray[Any]", labels: Sequence[str]) -> list[str]:
    return [in_list([label for label, holds in zip(labels, row, strict=True) if holds]) for row in held]


def _decisions(logits: FloatArray) -> FloatArray:
    """Each label is a choice between its logit and 0."""
    return np.stack([logits, np.zeros_like(logits)], axis=-1)


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else 0.0


def _mean(parts: "NDArray[Any]", wholes: "NDArray[Any]") -> float:
    return float((parts / np.maximum(wholes, 1)).mean())


_SCORINGS: dict[ProblemType, Scoring] = {
    ONE_LABEL: Scoring(
        training_metrics=classification.training_metrics,
        score=classification.score,
        chosen=lambda logits: logits.argmax(-1),
        in_words=lambda numbers, labels: [labels[number] for number in numbers],
        positions=lambda logits: logits[None],
    ),
    SEVERAL_LABELS: Scoring(
        training_metrics=several_metrics, score=several_score, chosen=_chosen, in_words=_in_words, positions=_decisions
    ),
}
