"""Held-out examples, used neither for training nor for eval_loss: the export's parity check and the scores use them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.chat import Conversations
from tunewright_trainer.data.reading import Splits, read_splits
from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.tokenization import IGNORED, encode
from tunewright_trainer.tuning.base_model import generation_defaults, load_config

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_READ_TOGETHER = 64  # rows


@dataclass(frozen=True)
class Example:
    """Token ids of a templated example, and the positions that the model must predict."""

    ids: list[int]
    supervised: list[bool]

    @property
    def prompt(self) -> list[int]:
        """Return the ids before the first supervised one; at least one."""
        first = self.supervised.index(True) if True in self.supervised else len(self.ids)
        return self.ids[: max(1, first)]

    @property
    def speaking(self) -> list[int]:
        """Return the positions whose logits choose a supervised token: the only ones that serving uses."""
        return [at for at, supervised in enumerate(self.supervised[1:]) if supervised]


@dataclass(frozen=True)
class Question:
    """A conversation up to the last answer. `text` is for people; `ids` is the model's input.

    `messages` is the same conversation in the form of a chat API; empty for a prompt to complete, which is `text`.
    """

    text: str
    ids: list[int]
    reference: str
    messages: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class HeldOut:
    """The examples for parity and for the scores. `scored` and `questions` are empty if the job has no test or validation data."""

    compared: list[Example]
    scored: list[Example]
    questions: list[Question]


def read_held_out(settings: Settings, tokenizer: "PreTrainedTokenizerBase") -> HeldOut:
    """Read the test files, else validation. For parity alone, train will do: it needs any text. Raises `StageError` for bad data."""
    splits = read_splits(settings)
    scored = _scored(splits)
    config = settings.config
    return HeldOut(
        compared=_examples(scored or splits.train, config.export.parity.prompts, tokenizer, settings),
        scored=_examples(scored, config.evaluation.max_samples, tokenizer, settings) if scored else [],
        questions=_questions(scored, settings, tokenizer) if scored else [],
    )


def require_comparable(splits: Splits, tokenizer: "PreTrainedTokenizerBase", settings: Settings) -> None:
    """Raise `StageError` (DATA) if there is no example on which an export could be compared and scored."""
    _examples(_scored(splits) or splits.train, 1, tokenizer, settings)


def questions_too_long(splits: Splits, tokenizer: "PreTrainedTokenizerBase", settings: Settings) -> list[str]:
    """Warn when held-out questions are too long to be answered. It reads only as many as the evaluation does."""
    scored, wanted = _scored(splits), settings.config.evaluation.generate_samples
    if scored is None or not wanted:
        return []
    room = _room(settings)
    long = fitting = 0
    for question in _asked(scored, tokenizer):
        long, fitting = long + (len(question.ids) > room), fitting + (len(question.ids) <= room)
        if fitting == wanted:
            break
    if not long:
        return []
    left = f"{fitting} are used" if fitting else "no answer is compared with its reference"
    warning = (
        f"{long} of the first {long + fitting} held-out question(s) have more than {room} tokens, which data.maxLength or "
        f"evaluation.maxNewTokens within the model's context leaves for a question; they are skipped, and {left}"
    )
    return [warning]


def stop_ids(settings: Settings, tokenizer: "PreTrainedTokenizerBase", examples: list[Example]) -> list[int]:
    """Return every token that ends an answer: the base's eos ids, the tokenizer's, and the special token at the end of the examples' turns.

    The last one is needed for bases whose eos ends a text, not a turn: their tuned model ends an answer like its examples.
    """
    found = {tokenizer.eos_token_id, *generation_defaults(settings).eos_token_ids}
    special = set(tokenizer.added_tokens_decoder)
    for example in examples:
        said = [token for token, supervised in zip(example.ids, example.supervised, strict=True) if supervised]
        found |= special & set(said[-2:])  # some templates put a newline after the end of the turn
    return sorted(found)


def _scored(splits: Splits) -> "Dataset | None":
    return splits.test if splits.test is not None else splits.validation


def _examples(dataset: "Dataset", limit: int, tokenizer: "PreTrainedTokenizerBase", settings: Settings) -> list[Example]:
    """Yield the first `limit` examples with a supervised token within `maxLength`, and skip the others."""
    found: list[Example] = []
    step = max(limit, _READ_TOGETHER)
    for start in range(0, len(dataset), step):
        part = dataset.select(range(start, min(start + step, len(dataset))))
        rows = encode(part, tokenizer, settings, part=True).dataset
        read = (Example(row["input_ids"], [label != IGNORED for label in row["labels"]]) for row in rows)
        found += [example for example in read if example.speaking]
        if len(found) >= limit:
            break
    if not found:
        raise StageError(
            ExitCode.DATA,
            "DataInvalid",
            f"none of the {len(dataset)} example(s) that the exported model would be compared on has a supervised token within "
            f"data.maxLength={settings.config.data.max_length}",
            "Raise data.maxLength, or give data.test or data.validation shorter examples.",
        )
    return found[:limit]


def _questions(dataset: "Dataset", settings: Settings, tokenizer: "PreTrainedTokenizerBase") -> list[Question]:
    room = _room(settings)
    fitting = (question for question in _asked(dataset, tokenizer) if len(question.ids) <= room)
    return list(islice(fitting, settings.config.evaluation.generate_samples))


def _asked(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase") -> Iterator[Question]:
    return (question for row in dataset if (question := _question(row, tokenizer)) is not None)


def _room(settings: Settings) -> int:
    """Return the most tokens of a question. Learned positions end at the context, so an answer must fit after its question."""
    context = getattr(load_config(settings), "max_position_embeddings", None)
    longest = settings.config.data.max_length
    return longest if context is None else min(longest, context - settings.config.evaluation.max_new_tokens)


def _question(row: Row, tokenizer: "PreTrainedTokenizerBase") -> Question | None:
    if "messages" not in row:
        return Question(row["prompt"], tokenizer(row["prompt"])["input_ids"], row["completion"]) if row["prompt"] else None
    messages = [{"role": message["role"], "content": message["content"]} for message in row["messages"]]
    last = max(index for index, message in enumerate(messages) if message["role"] == "assistant")
    if last == 0:
        return None  # there is no question
    ids, _ = Conversations(tokenizer).encode(messages[:last], ask=True)
    return Question(messages[last - 1]["content"], ids, messages[last]["content"], messages[:last])
