"""Labeled texts as token ids and class numbers, for check, training and evaluation alike."""

from collections import Counter
from typing import TYPE_CHECKING, TypedDict

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import LENGTH_BUCKETS, MOST_LABELS_SHOWN, SplitFacts
from tunewright_contract.text import one_line
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import Splits
from tunewright_trainer.data.tokenization import Encoded

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_MOST_LABELS = 1000
_LABEL_CHARACTERS = 40  # of a label in a report


class LabelFacts(TypedDict):
    """Fields of `DataFacts`."""

    label_count: int
    labels: dict[str, int]


def label_names(splits: Splits) -> list[str]:
    """Return the labels of the training examples; the index of each is its class number. Whole numbers are sorted as numbers.

    Raises `StageError` (DATA) for fewer than two labels, too many, and a held-out example with a label that train lacks.
    """
    found = set(splits.train["label"])
    if not 2 <= len(found) <= _MOST_LABELS:
        raise _refuse(f"the training examples have {len(found)} label(s); 2 to {_MOST_LABELS} are supported", "Check the column `label`.")
    for name, split in splits.named():
        unknown = next((row for row in split if row["label"] not in found), None)
        if unknown is not None:
            raise _refuse(
                f"{unknown['source']}: no training example has the label {unknown['label']!r} of this {name} example",
                "Add training examples with that label, or correct it.",
            )
    return sorted(found, key=int) if all(label.isdecimal() for label in found) else sorted(found)


def label_facts(dataset: "Dataset") -> LabelFacts:
    """Return the number of labels, and the number of examples of the most frequent ones."""
    counts = Counter(dataset["label"])
    shown: Counter[str] = Counter()
    for label, count in counts.most_common(MOST_LABELS_SHOWN):
        shown[one_line(label, _LABEL_CHARACTERS) or "(not printable)"] += count
    return {"label_count": len(counts), "labels": dict(shown)}


def encode_labeled(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", settings: Settings, labels: list[str]) -> Encoded:
    """`input_ids` of at most `maxLength` tokens, special tokens included, and `labels`: one class number. Raises `StageError` (DATA)."""
    from datasets import Dataset

    numbers = {label: number for number, label in enumerate(labels)}
    limit, policy = settings.config.data.max_length, settings.config.data.overlong_policy
    rows: list[dict[str, object]] = []
    tokens = truncated = dropped = 0
    histogram = [0] * (len(LENGTH_BUCKETS) + 1)
    for row in dataset:
        ids = tokenizer(row["text"])["input_ids"]
        histogram[next((i for i, bound in enumerate(LENGTH_BUCKETS) if len(ids) <= bound), len(LENGTH_BUCKETS))] += 1
        if len(ids) > limit:
            if policy == "raise":
                raise _refuse(f"{row['source']}: {len(ids)} tokens, more than data.maxLength={limit}", "Shorten it, or set overlongPolicy.")
            truncated += 1
            ids = tokenizer(row["text"], truncation=True, max_length=limit)["input_ids"] if policy == "truncate" else []
        if not ids:
            dropped += 1
            continue
        rows.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": numbers[row["label"]]})
        tokens += len(ids)
    if not rows:
        raise _refuse(f"none of {len(dataset)} example(s) fits data.maxLength={limit}", "Raise data.maxLength, or set overlongPolicy.")
    facts = SplitFacts(
        samples=len(dataset), tokens=tokens, supervised_tokens=len(rows), truncated=truncated, dropped=dropped, token_histogram=histogram
    )
    return Encoded(Dataset.from_list(rows), facts, ending_share=1.0)


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.DATA, "DataInvalid", message, suggestion)
