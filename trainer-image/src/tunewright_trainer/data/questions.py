"""Questions and contexts as rows for training: windows over long contexts, and the tokens at which the answer begins and ends.

A window without the whole answer has both at token 0, which stands for "no answer", as in transformers' run_qa.py. Refuses a question that
leaves no room for its context, by file and line. A training question with an answer that no window holds whole is dropped and counted,
because its windows would teach that there is no answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.questions import PairTokenizer, UnreadableContextError, Window, windows_of
from tunewright_contract.reports import LENGTH_BUCKETS, SplitFacts
from tunewright_trainer.common.exits import StageError

if TYPE_CHECKING:
    from datasets import Dataset

NOWHERE = (0, 0)  # the start and end token of a window that does not hold the answer


@dataclass(frozen=True)
class AskedContext:
    """A question, its context in windows, and the accepted answers: none where the context has none."""

    question: str
    context: str
    answers: list[str]
    starts: list[int]  # characters of the context
    windows: list[Window]
    source: str

    @property
    def places(self) -> list[tuple[int, int]]:
        """The tokens of each window at which the first answer starts and ends, or `NOWHERE`."""
        if not self.answers:
            return [NOWHERE] * len(self.windows)
        return [_place(window, self.starts[0], self.starts[0] + len(self.answers[0])) for window in self.windows]


@dataclass(frozen=True)
class ReadingWindows:
    """How contexts are read: a tokenizer that neither truncates nor pads, and the windows' size and overlap in tokens."""

    tokenizer: PairTokenizer
    length: int
    stride: int

    def read(self, dataset: "Iterable[dict[str, Any]]") -> Iterator[AskedContext]:
        """Cut each context into windows. Raises `StageError` (DATA) for a question or a context that cannot be read."""
        for row in dataset:
            try:
                windows = windows_of(self.tokenizer, row["question"], row["context"], length=self.length, stride=self.stride)
            except UnreadableContextError as error:
                raise _refuse(
                    f"{row['source']}: {error}",
                    f"Shorten the question or the context, raise data.maxLength above {self.length}, or lower data.docStride below "
                    f"{self.stride}.",
                ) from error
            yield AskedContext(windows=windows, **{name: row[name] for name in ("question", "context", "answers", "starts", "source")})


@dataclass(frozen=True)
class EncodedQuestions:
    """A set ready to train on, or to evaluate: then `asked` are its questions in the order of the rows, each with a row for each window."""

    dataset: "Dataset"
    facts: SplitFacts
    asked: list[AskedContext]
    unanswered: int  # questions whose context has no answer
    several: int  # questions with more than one window


def encode_questions(dataset: "Dataset", reading: ReadingWindows, *, held_out: bool = False) -> EncodedQuestions:
    """One row for each window: `input_ids`, `attention_mask`, `token_type_ids`, `start_positions`, `end_positions`.

    Of a set that is `held_out` no question is dropped, and the questions are kept beside the rows. Raises `StageError` (DATA).
    """
    from datasets import Dataset

    rows: list[dict[str, object]] = []
    asked: list[AskedContext] = []
    tokens = supervised = dropped = unanswered = several = 0
    histogram = [0] * (len(LENGTH_BUCKETS) + 1)
    for question in reading.read(dataset):
        places = question.places
        unanswered += not question.answers
        several += len(places) > 1
        if question.answers and not held_out and all(place == NOWHERE for place in places):
            dropped += 1
            continue
        asked += [question] if held_out else []
        for window, (start, end) in zip(question.windows, places, strict=True):
            length = len(window.tokens)
            histogram[next((i for i, bound in enumerate(LENGTH_BUCKETS) if length <= bound), len(LENGTH_BUCKETS))] += 1
            rows.append(
                {
                    "input_ids": window.tokens,
                    "attention_mask": [1] * length,
                    "token_type_ids": window.types,
                    "start_positions": start,
                    "end_positions": end,
                }
            )
            tokens += length
            supervised += 1
    if not held_out and unanswered + dropped == len(dataset):
        raise _refuse(
            f"none of {len(dataset)} question(s) has an answer that a window of {reading.length} tokens holds",
            "Check the column `answers`, or raise data.maxLength and data.docStride.",
        )
    facts = SplitFacts(samples=len(dataset), tokens=tokens, supervised_tokens=supervised, dropped=dropped, token_histogram=histogram)
    return EncodedQuestions(Dataset.from_list(rows), facts, asked, unanswered, several)


def _place(window: Window, start: int, end: int) -> tuple[int, int]:
    """The tokens of a window that cover the characters [start, end) of the context, or `NOWHERE`."""
    if not window.spans or window.spans[0][0] > start or window.spans[-1][1] < end:
        return NOWHERE
    first = next(number for number, span in enumerate(window.spans) if span[1] > start)
    last = next(number for number in reversed(range(len(window.spans))) if window.spans[number][0] < end)
    return (window.first + first, window.first + last) if first <= last else NOWHERE


def has_unanswered(dataset: "Dataset") -> bool:
    """Whether there are questions that their context does not answer."""
    return any(not answers for answers in dataset["answers"])


def windows_review(encoded: Mapping[str, EncodedQuestions], reading: ReadingWindows) -> list[str]:
    """Warn about answers that no window contains, contexts in several windows, and a kind of question that training lacks."""
    train = encoded["train"]
    facts, warnings = train.facts, []
    for name, found in encoded.items():
        if found.unanswered and not train.unanswered:
            warnings.append(
                f"{found.unanswered} of {found.facts.samples} {name} question(s) have no answer, and each training question has one: the "
                "model always finds an answer, so these count as wrong"
            )
    if facts.dropped:
        warnings.append(
            f"{facts.dropped} of {facts.samples} training question(s) are dropped, because no window of {reading.length} tokens holds "
            f"their answer whole; raise data.docStride above {reading.stride}, or data.maxLength"
        )
    if train.several:
        warnings.append(
            f"{train.several} of {facts.samples} training context(s) are longer than data.maxLength={reading.length} and are read in "
            f"windows that overlap by {reading.stride} tokens: {facts.supervised_tokens} windows in all"
        )
    return warnings


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.DATA, "DataInvalid", message, suggestion)
