"""Words of a text and the tags on them. Trainer and server share these rules, so that a served model reads a text as it was trained.

The model reads words with one space between them. A word's tag is that of its first token. Tags are IOB2: `B-PER` begins an entity of
type PER, `I-PER` continues it, and `O` is outside of all entities.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

OUTSIDE = "O"
BEGIN, INSIDE = "B-", "I-"
_MARKS = ("M", "Cf")  # general categories: accents, variation selectors and joiners belong to the character before them
_IDEOGRAPH = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # one word each, as BERT splits them
_RUN = re.compile(r"\S+")
_PART = re.compile(f"[{_IDEOGRAPH}]|[^{_IDEOGRAPH}]+")
Span = tuple[int, int]
"""Where something begins and ends, in characters; or in words, for an entity."""


@dataclass(frozen=True)
class Entity:
    """An entity of some words: `first` and `last` are their numbers."""

    kind: str
    first: int
    last: int


def split_words(text: str) -> list[Span]:
    """Split a text as the usual data sets are split: at white space, and before and after punctuation at the ends of a word.

    Punctuation within a word stays in it (`Rhine-Ruhr`, `3.5`). Each punctuation character at an end, and each ideograph, is a word.
    """
    spans: list[Span] = []
    for start, end in (part.span() for run in _RUN.finditer(text) for part in _PART.finditer(text, *run.span())):
        core = [at for at in range(start, end) if text[at].isalnum()]
        if not core:
            spans += _characters(text, start, end)
            continue
        first, after = core[0], _with_marks(text, core[-1] + 1, end)
        spans += [
            *_characters(text, start, first),
            (first, after),
            *_characters(text, after, end),
        ]
    return spans


def join_words(words: Sequence[str]) -> tuple[str, list[Span]]:
    """Return the text that the model reads, and where each word stands in it."""
    spans, at = [], 0
    for word in words:
        spans.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(words), spans


def first_tokens(spans: Sequence[Span], offsets: Sequence[Span]) -> list[int | None]:
    """Return the first token of each word. None: it has none of its own, because it is cut off or has no visible character.

    `offsets` are the characters that each token covers. A special token covers none.
    """
    found: list[int | None] = [None] * len(spans)
    word = 0
    for token, (start, end) in enumerate(offsets):
        while word < len(spans) and spans[word][1] <= start:
            word += 1
        if word == len(spans):
            break
        if start < end and end > spans[word][0] and found[word] is None:
            found[word] = token
    return found


def entities(tags: Sequence[str]) -> list[Entity]:
    """Return the entities of tagged words. As in seqeval and transformers, an `I-` tag that continues nothing begins an entity."""
    found: list[Entity] = []
    open_ = ""
    for at, tag in enumerate(tags):
        kind = tag[len(INSIDE) :] if tag.startswith((BEGIN, INSIDE)) else ""
        if kind and kind == open_ and tag.startswith(INSIDE):
            found[-1] = Entity(kind, found[-1].first, at)
        elif kind:
            found.append(Entity(kind, at, at))
        open_ = kind
    return found


def in_words(found: Sequence[tuple[str, str]]) -> str:
    """Write entities, each as (text, kind), for a person: `Ada Lovelace (PER), London (LOC)`."""
    return ", ".join(f"{text} ({kind})" for text, kind in found) or "no entities"


def in_list(labels: Sequence[str]) -> str:
    """Write the labels of a text for a person."""
    return ", ".join(labels) or "no label"


def _characters(text: str, start: int, end: int) -> list[Span]:
    """Each character with the marks behind it."""
    spans: list[Span] = []
    while start < end:
        after = _with_marks(text, start + 1, end)
        spans.append((start, after))
        start = after
    return spans


def _with_marks(text: str, at: int, end: int) -> int:
    while at < end and unicodedata.category(text[at]).startswith(_MARKS):
        at += 1
    return at
