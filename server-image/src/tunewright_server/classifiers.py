"""A model that gives a label to a text, or several."""

from dataclasses import dataclass

import numpy as np

from tunewright_contract.encoder_heads import SequenceClassificationHead
from tunewright_server.engine.row_queue import Logits
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

    def answer_smoke_test(self, prompt: str) -> str:
        """Return the text's label."""
        tokens = self.tokenizer.encode(prompt, add_special_tokens=True)
        return self.label(self.run_once(self.row_of_smoke_test(tokens)))
