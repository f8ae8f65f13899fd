"""Samples one token from a row of logits.

Each request has its own generator and draws exactly one uniform number per sampled token, so an answer depends only on its seed and
its own logits, not on other rows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tunewright_server.engine.request import Sampling, TokenLogprob

Logits = NDArray[np.float32]  # [vocab]


class LogitsError(ArithmeticError):
    """The graph produced a NaN or an infinite number."""


class Sampler:
    """Draws the tokens of one answer."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._random = np.random.Generator(np.random.PCG64(sampling.seed))

    def choose(self, logits: Logits, before: Sequence[int] = ()) -> int:
        """Return the token id that follows the tokens `before`.

        Raises `LogitsError` when the largest logit is not finite (a NaN anywhere makes it NaN).
        """
        if not np.isfinite(logits.max()):
            msg = "the graph returned logits that are not finite"
            raise LogitsError(msg)
        if self._sampling.repetition_penalty != 1:
            logits = penalised(logits, before, self._sampling.repetition_penalty)
        if self._sampling.no_repeat_ngram_size:
            logits = without_repeats(logits, before, self._sampling.no_repeat_ngram_size)
        if self._sampling.temperature == 0:
            return int(logits.argmax())
        ids, probabilities = distribution(logits, self._sampling)
        drawn = self._random.random() * probabilities.sum()
        return int(ids[min(int(np.searchsorted(np.cumsum(probabilities), drawn, side="right")), len(ids) - 1)])


def penalised(logits: Logits, before: Sequence[int], penalty: float) -> Logits:
    """Make tokens that occurred less likely: positive logits are divided by the penalty, negative ones multiplied."""
    seen = np.unique(np.asarray(before, np.int64))
    changed = logits.copy()
    changed[seen] = np.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
    return changed


def without_repeats(logits: Logits, before: Sequence[int], size: int) -> Logits:
    """Rule out each token that would complete a sequence of `size` tokens that occurred, as transformers does."""
    ending = list(before[len(before) - size + 1 :])
    repeated = [before[at + size - 1] for at in range(len(before) - size + 1) if list(before[at : at + size - 1]) == ending]
    changed = logits.copy()
    changed[repeated] = -np.inf
    return changed


def distribution(logits: Logits, sampling: Sampling) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Token ids that may be drawn, and their probabilities (not renormalised), most likely first.

    Temperature first, then top_k, then top_p, the smallest set of most likely tokens whose mass reaches `top_p`, then min_p. This is the
    order of transformers.
    """
    scaled = (logits.astype(np.float64) - float(logits.max())) / sampling.temperature
    probabilities = np.exp(scaled)
    probabilities /= probabilities.sum()
    if sampling.top_k == 0 and sampling.top_p == 1 and sampling.min_p == 0:
        return np.arange(len(logits)), probabilities
    order = np.argsort(-probabilities, kind="stable")
    if sampling.top_k:
        order = order[: sampling.top_k]
        probabilities = probabilities / probabilities[order].sum()
    before = np.cumsum(probabilities[order]) - probabilities[order]
    kept = order[: max(1, int((before < sampling.top_p).sum()))]
    kept = kept[probabilities[kept] >= sampling.min_p * probabilities[order[0]]]
    return kept, probabilities[kept]


def log_probability(logits: Logits, token: int, alternatives: int) -> TokenLogprob:
    """Log-softmax of `token`, and the `alternatives` most likely tokens beside it."""
    exact = logits.astype(np.float64)
    normaliser = exact.max() + np.log(np.exp(exact - exact.max()).sum())
    best = np.argsort(-logits, kind="stable")[:alternatives]
    return TokenLogprob(token, float(exact[token] - normaliser), tuple((int(i), float(exact[i] - normaliser)) for i in best))
