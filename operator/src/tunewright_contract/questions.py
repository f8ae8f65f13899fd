"""Questions about a context: the windows of tokens that a model reads, and the answers that its logits give. Trainer and server share both.

A context that does not fit beside its question is cut into windows that overlap by `stride` tokens. Each window is the whole question and a
part of the context, with the special tokens of the tokenizer's pair template. The windows are those of transformers'
`tokenizer(question, context, truncation="only_second", stride=stride, return_overflowing_tokens=True)`.

Source of the answers: `postprocess_qa_predictions` of transformers' examples/pytorch/question-answering/utils_qa.py. Of each window, the
most likely starts and ends are paired; a span's score is the sum of its two logits. "No answer" has the score of token 0, the least of all
windows. Two differences: starts and ends outside the context are left out before the most likely ones are chosen, and a span that several
windows contain counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nlargest
from math import exp
from typing import Any, Protocol


class PairTokenizer(Protocol):
    """What is needed of `tokenizers.Tokenizer`. It must neither truncate nor pad."""

    def encode_batch(self, input: list[str], *, add_special_tokens: bool) -> list[Any]: ...  # noqa: A002 - the library's name

    def num_special_tokens_to_add(self, is_pair: bool) -> int: ...

    def post_process(self, encoding: Any, pair: Any) -> Any: ...


@dataclass(frozen=True)
class Window:
    """One row for the model. The tokens from `first` on, one for each of `spans`, are the context's; token 0 stands for "no answer"."""

    tokens: tuple[int, ...]
    types: tuple[int, ...]  # `token_type_ids`
    first: int
    spans: tuple[tuple[int, int], ...]  # the characters [start, end) of the context that a token covers


MOST_WINDOWS = 1024  # over one context


class UnreadableContextError(ValueError):
    """A context cannot be read with its question. The message has the numbers of tokens, and may follow the name of a place."""


def windows_of(
    tokenizer: PairTokenizer, question: str, context: str, *, length: int, stride: int, most: int = MOST_WINDOWS
) -> list[Window]:
    """Return windows of at most `length` tokens, at least one, each with tokens of the context.

    Raises `UnreadableContextError` for a question or a context without tokens; for a question that leaves no room, since no window would go
    beyond the `stride` tokens before it; and for more than `most` windows, before they are made.
    """
    asked, read = tokenizer.encode_batch([question.strip(), context], add_special_tokens=False)
    if not asked.ids or not read.ids:
        raise UnreadableContextError(f"the {'context' if asked.ids else 'question'} has no tokens")
    added = tokenizer.num_special_tokens_to_add(True)
    room = length - len(asked.ids) - added
    if len(read.ids) > room and room <= stride:
        raise UnreadableContextError(
            f"the question has {len(asked.ids)} tokens and the context {len(read.ids)}; beside a context that does not fit, windows of "
            f"{length} tokens that overlap by {stride} have room for a question of {max(0, length - added - stride - 1)}"
        )
    needed = 1 if len(read.ids) <= room else -(-(len(read.ids) - stride) // (room - stride))
    if needed > most:
        raise UnreadableContextError(
            f"the context has {len(read.ids)} tokens and needs {needed} windows of {length} tokens that overlap by {stride}; {most} are "
            "read at most"
        )
    read.truncate(max(1, room), stride=stride if len(read.ids) > room else 0)
    return [_window(tokenizer.post_process(asked, part), part) for part in (read, *read.overflowing)]


def _window(pair: Any, part: Any) -> Window:
    sequences = pair.sequence_ids
    return Window(
        tokens=tuple(pair.ids),
        types=tuple(pair.type_ids),
        first=sequences.index(1) if 1 in sequences else len(sequences),
        spans=tuple(part.offsets),  # of the pair they would be trimmed twice: a byte-level tokenizer takes the space off each time
    )


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
