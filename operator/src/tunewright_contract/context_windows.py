"""A question and its context as windows of tokens: the trainer and the server read the same windows.

A context that does not fit beside its question is cut into windows that overlap by `stride` tokens. Each window is the whole question and a
part of the context, with the special tokens of the tokenizer's pair template. The windows are those of transformers'
`tokenizer(question, context, truncation="only_second", stride=stride, return_overflowing_tokens=True)`.
"""

from dataclasses import dataclass
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
