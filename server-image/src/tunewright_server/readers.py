"""A model that finds the answer to a question in a context."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright_contract.encoder_heads import QuestionAnsweringHead
from tunewright_contract.questions import LONGEST_ANSWER, AnswerSpan, UnreadableContextError, Window, find_answers, windows_of
from tunewright_server.engine.row_queue import Logits, TokenRow
from tunewright_server.refusal import smoke_test_failed
from tunewright_server.served_encoder import ServedEncoder


@dataclass(frozen=True, kw_only=True)
class ServedReader(ServedEncoder):
    """Reads contexts in windows, as the trainer does."""

    @property
    def head(self) -> QuestionAnsweringHead:
        assert isinstance(self.graph.head, QuestionAnsweringHead)  # noqa: S101 - by the table of heads
        return self.graph.head

    @property
    def description(self) -> dict[str, object]:
        return {"doc_stride": self.doc_stride, "no_answer": self.head.no_answer}

    @property
    def doc_stride(self) -> int:
        """Tokens that neighbouring windows share: the trainer's number, or a quarter of a window that this server makes shorter."""
        return min(self.head.doc_stride, max(0, self.engine.max_length // 4)) if self._is_shorter else self.head.doc_stride

    @property
    def most_windows(self) -> int:
        """How many windows one request can have."""
        return min(self.engine.queue_limit, max(1, self.engine.queue_tokens // self.engine.max_length))

    def windows(self, question: str, context: str) -> list[Window]:
        """Raises `UnreadableContextError`."""
        length = self.engine.max_length
        return windows_of(self.tokenizer.pairs, question, context, length=length, stride=self.doc_stride, most=self.most_windows)

    def answers(
        self,
        context: str,
        windows: Sequence[Window],
        logits: Sequence[Logits],
        *,
        no_answer: bool | None = None,
        longest: int = LONGEST_ANSWER,
    ) -> list[AnswerSpan]:
        """Return at least one answer, the best first. `logits` are [tokens, 2] of each window. `no_answer` None: as in training."""
        sides = [(array[:, 0].tolist(), array[:, 1].tolist()) for array in logits]
        asked = self.head.no_answer if no_answer is None else no_answer
        return find_answers(context, windows, sides, no_answer=asked, longest=longest) or [AnswerSpan("", 0, 0, 0.0)]

    def answer_smoke_test(self, prompt: str) -> str:
        """Return the answer to the question in the first line. The context is in the lines after it."""
        question, _, context = prompt.partition("\n")
        try:
            windows = self.windows(question, context)
        except UnreadableContextError as error:
            way = "the first line of the prompt must be the question, and the lines after it the context"
            raise smoke_test_failed(f"{way}: {error}") from error
        logits = [self.run_once(row_of(window)) for window in windows]
        return self.answers(context, windows, logits)[0].text

    @property
    def _is_shorter(self) -> bool:
        return self.engine.max_length < self.manifest.context_length


def row_of(window: Window) -> TokenRow:
    """Return a window as a row of the engine."""
    return TokenRow(window.tokens, window.types)
