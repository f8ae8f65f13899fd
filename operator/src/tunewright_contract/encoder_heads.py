"""The heads of encoder graphs: the outputs of a graph, and the meaning of their numbers.

A head gives numbers to a whole text or to each of its tokens. Both the exporter and the server read the outputs here.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tunewright_contract.base import Message, Name
from tunewright_contract.capabilities.tasks import SEVERAL_LABELS, HeadKind, ProblemType

ROWS, TOKENS = "rows", "tokens"  # sizes that differ from run to run
Shape = tuple[str | int, ...]


class EncoderHead(Message):
    """The base of all heads."""

    kind: HeadKind

    @property
    def outputs(self) -> dict[str, Shape]:
        """The graph's outputs, float32, by name. Several of one shape are read side by side, as one more axis at the end."""
        raise NotImplementedError

    @property
    def per_token(self) -> bool:
        """Whether each token gets numbers, and not the text as a whole."""
        return all(TOKENS in shape for shape in self.outputs.values())


class LabelingHead(EncoderHead):
    """A head with one number for each label. `labels` is transformers' `id2label`, in the order of the ids."""

    labels: list[Name]

    @property
    def fewest_labels(self) -> int:
        """The fewest labels between which there is a choice."""
        return 2

    @model_validator(mode="after")
    def _labels_can_be_told_apart(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels: each label must occur once")
        if len(self.labels) < self.fewest_labels:
            raise ValueError(f"labels: at least {self.fewest_labels} are needed, and there are {len(self.labels)}")
        return self


class SequenceClassificationHead(LabelingHead):
    """`logits` of a text's labels: softmax over all of them, or a sigmoid for each where several can hold."""

    kind: Literal["sequence_classification"] = "sequence_classification"
    problem_type: ProblemType

    @property
    def several_labels(self) -> bool:
        """Whether several labels can hold for one text."""
        return self.problem_type == SEVERAL_LABELS

    @property
    def fewest_labels(self) -> int:
        return 1 if self.several_labels else 2

    @property
    def outputs(self) -> dict[str, Shape]:
        return {"logits": (ROWS, len(self.labels))}


class TokenClassificationHead(LabelingHead):
    """`logits` of each token's labels."""

    kind: Literal["token_classification"] = "token_classification"

    @property
    def outputs(self) -> dict[str, Shape]:
        return {"logits": (ROWS, TOKENS, len(self.labels))}


class QuestionAnsweringHead(EncoderHead):
    """For each token of a pair of question and context: the logit that the answer starts there, and that it ends there."""

    kind: Literal["question_answering"] = "question_answering"
    doc_stride: int = Field(ge=0)  # tokens that neighbouring windows over a long context share; see `context_windows`
    no_answer: bool  # whether training had questions that their context does not answer

    @property
    def outputs(self) -> dict[str, Shape]:
        return {"start_logits": (ROWS, TOKENS), "end_logits": (ROWS, TOKENS)}


Head = Annotated[SequenceClassificationHead | TokenClassificationHead | QuestionAnsweringHead, Field(discriminator="kind")]
