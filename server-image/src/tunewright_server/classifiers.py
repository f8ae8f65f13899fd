"""Classifiers: a model that gives a label to a text, or several, and one that tags the words of a text, and so finds named entities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tunewright_contract.encoder_heads import SequenceClassificationHead, TokenClassificationHead
from tunewright_contract.words import OUTSIDE, Span, entities, first_tokens, in_list, in_words, join_words, split_words
from tunewright_server.engine.row_queue import Logits, TokenRow
from tunewright_server.served_encoder import ServedEncoder


@dataclass(frozen=True, kw_only=True)
class ServedClassifier(ServedEncoder):
    """Classifies texts."""

    @property
    def head(self) -> SequenceClassificationHead:
        assert isinstance(self.graph.head, SequenceClassificationHead)  # noqa: S101 - by the table of heads
        return self.graph.head

    @property
    def description(self) -> dict[str, object]:
        return {"labels": self.head.labels, "problem_type": self.head.problem_type}

    def probabilities(self, logits: Logits) -> list[float]:
        """Softmax over the labels, or a sigmoid for each of several that may hold at once."""
        exact = logits.astype(np.float64)
        if self.head.several_labels:
            return [float(each) for each in np.exp(-np.logaddexp(0, -exact))]
        shares = np.exp(exact - exact.max())
        return [float(each) for each in shares / shares.sum()]

    def label(self, logits: Logits) -> str:
        """The likeliest label, also of several that may hold at once."""
        return self.head.labels[int(logits.argmax())]

    def labels(self, logits: Logits) -> list[str]:
        """All labels that hold, where several can: those with a probability above one half, in the order of the head."""
        return [label for label, logit in zip(self.head.labels, logits, strict=True) if logit > 0]

    def answer_smoke_test(self, prompt: str) -> str:
        """Return the text's label, or all labels that hold."""
        tokens = self.tokenizer.encode(prompt, add_special_tokens=True)
        logits = self.run_once(self.row_of_smoke_test(tokens))
        return in_list(self.labels(logits)) if self.head.several_labels else self.label(logits)


@dataclass(frozen=True)
class ReadWords:
    """A text as the model reads it: where its words stand, and the first token of each; None: it has none."""

    text: str
    words: list[Span]
    firsts: list[int | None]
    row: TokenRow


@dataclass(frozen=True)
class FoundEntity:
    """An entity of a text. `start` and `end` are characters; `score` is the mean probability of its words' tags."""

    kind: str
    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, kw_only=True)
class ServedTokenClassifier(ServedEncoder):
    """Finds named entities."""

    @property
    def head(self) -> TokenClassificationHead:
        assert isinstance(self.graph.head, TokenClassificationHead)  # noqa: S101 - by the table of heads
        return self.graph.head

    @property
    def description(self) -> dict[str, object]:
        return {"labels": self.head.labels}

    def read(self, text: str) -> ReadWords:
        """Split a text into words, and tokenize it as in training."""
        words = split_words(text)
        joined, spans = join_words([text[start:end] for start, end in words])
        tokens, offsets = self.tokenizer.encode_with_offsets(joined)
        return ReadWords(text, words, first_tokens(spans, offsets), TokenRow(tokens if words else ()))

    def entities(self, read: ReadWords, logits: Logits) -> list[FoundEntity]:
        """Find the entities by the logits [tokens, labels]. A word's tag is that of its first token."""
        exact = logits.astype(np.float64)
        shares = np.exp(exact - exact.max(-1, keepdims=True))
        shares /= shares.sum(-1, keepdims=True)
        chosen = shares.argmax(-1)
        tags = [OUTSIDE if first is None else self.head.labels[chosen[first]] for first in read.firsts]
        scores = [0.0 if first is None else float(shares[first].max()) for first in read.firsts]
        found = []
        for entity in entities(tags):
            start, end = read.words[entity.first][0], read.words[entity.last][1]
            score = float(np.mean(scores[entity.first : entity.last + 1]))
            found.append(FoundEntity(entity.kind, read.text[start:end], start, end, score))
        return found

    def answer_smoke_test(self, prompt: str) -> str:
        """Return the text's entities in words."""
        read = self.read(prompt)
        found = self.entities(read, self.run_once(self.row_of_smoke_test(read.row.tokens)))
        return described(found)


def described(found: Sequence[FoundEntity]) -> str:
    """Write entities for a person."""
    return in_words([(entity.text, entity.kind) for entity in found])
