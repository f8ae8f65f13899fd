"""Texts as token ids within `maxLength`, for the tasks whose models read a whole text, and what was counted on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import LENGTH_BUCKETS, SplitFacts
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.tokenization import IGNORED, Encoded

if TYPE_CHECKING:
    from datasets import Dataset

Labels = int | list[int]
ReadText = Callable[[Row, int | None], tuple[list[int], Labels]]
"""Return the token ids of an example and its label, or the label of each token. A number: cut the text to so many tokens."""


@dataclass(frozen=True)
class EncodedTexts(Encoded):
    """A set whose examples are texts with labels. `kept` are the numbers of the examples that became a row, in order."""

    kept: list[int]


def encode_texts(dataset: "Dataset", settings: Settings, read: ReadText) -> EncodedTexts:
    """`input_ids` of at most `maxLength` tokens, special tokens included, and `labels`. Raises `StageError` (DATA)."""
    from datasets import Dataset

    limit, policy = settings.config.data.max_length, settings.config.data.overlong_policy
    rows: list[dict[str, object]] = []
    kept: list[int] = []
    tokens = supervised = truncated = 0
    histogram = [0] * (len(LENGTH_BUCKETS) + 1)
    for number, row in enumerate(dataset):
        ids, labels = read(row, None)
        histogram[next((i for i, bound in enumerate(LENGTH_BUCKETS) if len(ids) <= bound), len(LENGTH_BUCKETS))] += 1
        if len(ids) > limit:
            if policy == "raise":
                raise refuse(f"{row['source']}: {len(ids)} tokens, more than data.maxLength={limit}", "Shorten it, or set overlongPolicy.")
            truncated += 1
            ids, labels = read(row, limit) if policy == "truncate" else ([], [])
        learned = 1 if isinstance(labels, int) else sum(label != IGNORED for label in labels)
        if not ids or not learned:
            continue
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels})
        kept.append(number)
        tokens += len(ids)
        supervised += learned
    if not rows:
        raise refuse(f"none of {len(dataset)} example(s) fits data.maxLength={limit}", "Raise data.maxLength, or set overlongPolicy.")
    facts = SplitFacts(
        samples=len(dataset),
        tokens=tokens,
        supervised_tokens=supervised,
        truncated=truncated,
        dropped=len(dataset) - len(rows),
        token_histogram=histogram,
    )
    return EncodedTexts(Dataset.from_list(rows), facts, ending_share=1.0, kept=kept)


def refuse(message: str, suggestion: str) -> StageError:
    """Return the refusal of data."""
    return StageError(ExitCode.DATA, "DataInvalid", message, suggestion)
