"""From a model's logits to answers in a context: evaluation and the server find the same answers.

Source: `postprocess_qa_predictions` of transformers' examples/pytorch/question-answering/utils_qa.py. Of each window, the most likely
starts and ends are paired; a span's score is the sum of its two logits. "No answer" has the score of token 0, the least of all windows.
Two differences: starts and ends outside the context are left out before the most likely ones are chosen, and a span that several windows
contain counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import exp

from tunewright_contract.context_windows import Window

CANDIDATES = 20  # starts and ends of each window, and answers in all
LONGEST_ANSWER = 30  # tokens
Logits = Sequence[float]


@dataclass(frozen=True)
class AnswerSpan:
    """The characters [start, end) of the context. "No answer" is empty, from 0 to 0."""

    text: str
    start: int
    end: int
    score: float  # from 0 to 1; those of all candidates add up to 1


def find_answers(
    context: str, windows: Sequence[Window], logits: Sequence[tuple[Logits, Logits]], *, no_answer: bool, longest: int = LONGEST_ANSWER
) -> list[AnswerSpan]:
    """Return the most likely answers, the best first. `logits` has (starts, ends) of each window, one for each token.

    With `no_answer`, "no answer" is one of them. Without, the list is empty if no window has a token of the context.
    """
    scores: dict[tuple[int, int], float] = {}
    for window, (starts, ends) in zip(windows, logits, strict=True):
        for span, score in _spans(context, window, starts, ends, longest):
            scores[span] = max(score, scores.get(span, score))
    found = nlargest(CANDIDATES, scores.items(), key=lambda item: item[1])
    if no_answer:
        nothing = min(starts[0] + ends[0] for starts, ends in logits)
        found = sorted([*found[: CANDIDATES - 1], ((0, 0), nothing)], key=lambda item: -item[1])  # after a span that is as likely
    if not found:
        return []
    shares = [exp(score - found[0][1]) for _, score in found]
    whole = sum(shares)
    return [AnswerSpan(context[start:end], start, end, share / whole) for ((start, end), _), share in zip(found, shares, strict=True)]


def _spans(context: str, window: Window, starts: Logits, ends: Logits, longest: int) -> list[tuple[tuple[int, int], float]]:
    """Return the spans of one window with their scores."""
    places = range(window.first, window.first + len(window.spans))
    likely_starts, likely_ends = (nlargest(CANDIDATES, places, key=side.__getitem__) for side in (starts, ends))
    found = []
    for start in likely_starts:
        for end in likely_ends:
            if start <= end < start + longest:
                span = _trimmed(context, window.spans[start - window.first][0], window.spans[end - window.first][1])
                if span[0] < span[1]:
                    found.append((span, starts[start] + ends[end]))
    return found


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without white space around it, which some tokenizers count to a word."""
    text = context[start:end]
    return start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
