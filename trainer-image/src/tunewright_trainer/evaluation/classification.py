"""Scores of a classifier on held-out texts: cross entropy, accuracy and macro F1.

Macro F1 is the mean of F1 = 2 TP / (2 TP + FP + FN) over the labels that occur in the references or in the predictions, as scikit-learn
computes it.
"""

from typing import TYPE_CHECKING

import numpy as np

from tunewright_contract.reports import Score
from tunewright_trainer.evaluation.exported_models import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray


def score(logits: FloatArray, labels: list[int]) -> Score:
    """Compare logits [texts, labels] with the class number of each text."""
    wanted = np.array(labels)
    exact = logits.astype(np.float64)
    log_sum = np.log(np.exp(exact - exact.max(-1, keepdims=True)).sum(-1)) + exact.max(-1)
    chosen = exact.argmax(-1)
    loss = float((log_sum - exact[np.arange(len(wanted)), wanted]).mean())
    accuracy = float((chosen == wanted).mean())
    return Score(loss=loss, token_accuracy=accuracy, f1_macro=macro_f1(chosen, wanted), samples=len(wanted))


def macro_f1(chosen: "NDArray[np.int64]", wanted: "NDArray[np.int64]") -> float:
    """From 0 to 1. Both are class numbers [texts]."""
    each = []
    for label in np.union1d(chosen, wanted):
        right = int(((chosen == label) & (wanted == label)).sum())
        each.append(2 * right / (int((chosen == label).sum()) + int((wanted == label).sum())))
    return float(np.mean(each))


def training_metrics(prediction: tuple[FloatArray, "NDArray[np.int64]"]) -> dict[str, float]:
    """For `compute_metrics` of transformers: every metric of the task's row, each of which can choose the best checkpoint."""
    chosen, wanted = np.asarray(prediction[0]).argmax(-1), np.asarray(prediction[1])
    labels = np.union1d(chosen, wanted)
    right = np.array([np.count_nonzero((chosen == label) & (wanted == label)) for label in labels])
    given = np.array([np.count_nonzero(chosen == label) for label in labels])
    held = np.array([np.count_nonzero(wanted == label) for label in labels])
    return {
        "accuracy": float((chosen == wanted).mean()),
        "f1_macro": macro_f1(chosen, wanted),
        "mcc": _correlation(right, given, held),
        "precision_macro": float((right / np.maximum(given, 1)).mean()),  # 0 for a label that is never given, as in scikit-learn
        "recall_macro": float((right / np.maximum(held, 1)).mean()),
    }


def _correlation(right: "NDArray[np.int64]", given: "NDArray[np.int64]", held: "NDArray[np.int64]") -> float:
    """Matthews' correlation for several labels (Gorodkin 2004): from -1 to 1, and 0 where one of the two sides has one label only."""
    texts = int(held.sum())
    spread = (texts**2 - int((given**2).sum())) * (texts**2 - int((held**2).sum()))
    return (int(right.sum()) * texts - int((given * held).sum())) / spread**0.5 if spread else 0.0
