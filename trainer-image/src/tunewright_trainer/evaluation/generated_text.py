"""Metrics of generated texts against one reference each: BLEU and chrF for translations, ROUGE for summaries.

sacreBLEU (Post 2018) computes BLEU with its tokenizer `13a`, and chrF2, both from 0 to 100. Google's rouge-score computes ROUGE with its
stemmer as the mean F1 over the texts, from 0 to 1; `rougeLsum` takes each line of a text as a sentence.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tunewright_trainer.data.tokenization import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

Texts = Sequence[str]
_MOST = 100.0  # sacreBLEU rounds the mean of equal texts to slightly more


def text_metrics(names: Sequence[str], answers: Texts, references: Texts) -> dict[str, float]:
    """Compute the metrics of a task's row, by their names there. Raises `KeyError` for a name that is not here."""
    return {name: METRICS[name](answers, references) for name in names}


def training_metrics(
    names: Sequence[str], tokenizer: "PreTrainedTokenizerBase"
) -> "Callable[[tuple[NDArray[np.int64], NDArray[np.int64]]], dict[str, float]]":
    """For `compute_metrics` of transformers, over generated token ids and labels that are padded with -100."""

    def compute(prediction: "tuple[NDArray[np.int64], NDArray[np.int64]]") -> dict[str, float]:
        answers, references = (_texts(np.asarray(ids), tokenizer) for ids in tuple(prediction)[:2])
        return text_metrics(names, answers, references)

    return compute


def _texts(ids: "NDArray[np.int64]", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    filled = np.where(ids == IGNORED, tokenizer.pad_token_id, ids)
    return [tokenizer.decode(row, skip_special_tokens=True).strip() for row in filled]


def _bleu(answers: Texts, references: Texts) -> float:
    from sacrebleu import corpus_bleu

    return min(_MOST, float(corpus_bleu(list(answers), [list(references)]).score))


def _chrf(answers: Texts, references: Texts) -> float:
    from sacrebleu import corpus_chrf

    return min(_MOST, float(corpus_chrf(list(answers), [list(references)]).score))


def _rouge(kind: str) -> Callable[[Texts, Texts], float]:
    def compute(answers: Texts, references: Texts) -> float:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer([kind], use_stemmer=True)
        return float(np.mean([scorer.score(wanted, found)[kind].fmeasure for found, wanted in zip(answers, references, strict=True)]))

    return compute


METRICS: dict[str, Callable[[Texts, Texts], float]] = {
    "bleu": _bleu,
    "chrf": _chrf,
    **{kind: _rouge(kind) for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum")},
}
