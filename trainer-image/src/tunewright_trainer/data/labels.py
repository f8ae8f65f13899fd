"""Labeled texts as token ids and class numbers, for check, training and evaluation alike."""

from collections import Counter
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, TypedDict

from tunewright_contract.reports import MOST_LABELS_SHOWN
from tunewright_contract.text import one_line
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import Splits
from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.texts import EncodedTexts, Labels, encode_texts, refuse

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

MOST_LABELS = 1000
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
    if not 2 <= len(found) <= MOST_LABELS:
        raise refuse(f"the training examples have {len(found)} label(s); 2 to {MOST_LABELS} are supported", "Check the column `label`.")
    require_known(splits, found, lambda row: [row["label"]], "label")
    return sorted(found, key=int) if all(label.isdecimal() for label in found) else sorted(found)


def require_known(splits: Splits, known: Collection[str], labels: Callable[[Row], list[str]], word: str) -> None:
    """Raises `StageError` (DATA) for an example with a label that train lacks. `word` is what messages call a label."""
    for name, split in splits.named():
        for row in split:
            unknown = next((label for label in labels(row) if label not in known), None)
            if unknown is not None:
                raise refuse(
                    f"{row['source']}: no training example has the {word} {unknown!r} of this {name} example",
                    f"Add training examples with that {word}, or correct it.",
                )


def label_facts(dataset: "Dataset") -> LabelFacts:
    """Return the number of labels, and the number of examples of the most frequent ones."""
    return counted(Counter(dataset["label"]))


def counted(counts: Counter[str]) -> LabelFacts:
    """Return the number of labels, and the counts of the most frequent ones, as a report has them."""
    shown: Counter[str] = Counter()
    for label, count in counts.most_common(MOST_LABELS_SHOWN):
        shown[one_line(label, _LABEL_CHARACTERS) or "(not printable)"] += count
    return {"label_count": len(counts), "labels": dict(shown)}


def encode_labeled(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", settings: Settings, labels: list[str]) -> EncodedTexts:
    """`input_ids` of at most `maxLength` tokens, special tokens included, and `labels`: one class number. Raises `StageError` (DATA)."""
    numbers = {label: number for number, label in enumerate(labels)}

    def read(row: Row, limit: int | None) -> tuple[list[int], Labels]:
        return tokenizer(row["text"], truncation=limit is not None, max_length=limit)["input_ids"], numbers[row["label"]]

    return encode_texts(dataset, settings, read)
