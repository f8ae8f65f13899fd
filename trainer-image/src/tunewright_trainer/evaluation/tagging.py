"""Scores of tagged words on held-out texts: cross entropy and accuracy over words; precision, recall and F1 over entities, by seqeval.

Only words with a token of their own count: a text that is cut at `maxLength` has others.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunewright_contract.reports import Score
from tunewright_trainer.data.tokenization import IGNORED
from tunewright_trainer.evaluation.exported_models import FloatArray

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tag_metrics(found: list[list[str]], wanted: list[list[str]]) -> dict[str, float]:
    """Every metric of the task's row: `precision`, `recall` and `f1` of entities of all types together, `accuracy` of tags."""
    from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score

    # Without entities on one side a share is 0 / 0: zero_division makes it 0, as conlleval does, and without a warning.
    entities = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    shares = {name: float(measure(wanted, found, zero_division=0)) for name, measure in entities.items()}
    return {**shares, "accuracy": float(accuracy_score(wanted, found))}


def training_metrics(tags: Sequence[str]) -> Callable[[tuple["NDArray[np.int64]", "NDArray[np.int64]"]], dict[str, float]]:
    """For `compute_metrics` of transformers, beside `chosen_tags`: each of the metrics can choose the best checkpoint."""

    def metrics(prediction: tuple["NDArray[np.int64]", "NDArray[np.int64]"]) -> dict[str, float]:
        chosen, labels = prediction
        found, wanted = (
            [[tags[number] for number in row[known]] for row, known in zip(array, labels != IGNORED, strict=True)]
            for array in (chosen, labels)
        )
        return tag_metrics(found, wanted)

    return metrics


def chosen_tags(logits: "object", _: "object") -> "object":
    """For `preprocess_logits_for_metrics`: the likeliest tag of each token, which is all that the metrics need."""
    return logits.argmax(-1)  # type: ignore[attr-defined]


def score(logits: Sequence[FloatArray], labels: Sequence[Sequence[int]], tags: Sequence[str]) -> tuple[Score, list[list[str]]]:
    """Compare logits [tokens, tags] of each text with its labels. Returns the tags of each text's labeled tokens, too."""
    found, wanted, losses = [], [], []
    for array, row in zip(logits, labels, strict=True):
        known = np.array(row) != IGNORED
        exact, numbers = array[known].astype(np.float64), np.array(row)[known]
        log_sum = np.log(np.exp(exact - exact.max(-1, keepdims=True)).sum(-1)) + exact.max(-1)
        losses.append(log_sum - exact[np.arange(len(numbers)), numbers])
        found.append([tags[number] for number in exact.argmax(-1)])
        wanted.append([tags[number] for number in numbers])
    metrics = tag_metrics(found, wanted)
    return Score(
        loss=float(np.concatenate(losses).mean()),
        token_accuracy=metrics["accuracy"],
        f1=metrics["f1"],
        precision=metrics["precision"],
        recall=metrics["recall"],
        samples=len(found),
    ), found
