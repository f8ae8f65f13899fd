"""Texts as token ids within `maxLength`, for the tasks whose models read a whole text, and labels as class numbers.

Check, training and evaluation read them alike, and report what was counted on the way.
"""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import LENGTH_BUCKETS, MOST_LABELS_SHOWN, SplitFacts
from tunewright_contract.text import one_line
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import Splits
from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.tokenization import IGNORED, Encoded

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

Labels = int | list[int] | list[float]
ReadText = Callable[[Row, int | None], tuple[list[int], Labels]]
"""Return the token ids of an example and its label, 0 or 1 for each label, or the label of each token. A number: cut to so many tokens."""


@dataclass(frozen=True)
class EncodedTexts(Encoded):
    """A set whose examples are texts with labels. `kept` are the numbers of the examples that became a row, in order."""

    kept: list[int]


def encode_texts(dataset: "Dataset", settings: Settings, read: ReadText, *, per_token: bool = True) -> EncodedTexts:
    """`input_ids` of at most `maxLength` tokens, special tokens included, and `labels`. Raises `StageError` (DATA).

    `per_token`: a list of labels has one for each token; otherwise labels are of the text as a whole.
    """
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
        learned = sum(label != IGNORED for label in labels) if per_token and isinstance(labels, list) else 1
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


MOST_LABELS = 1000
_LABEL_CHARACTERS = 40  # of a label in a report


class LabelFacts(TypedDict):
    """Fields of `DataFacts`."""

    label_count: int
    labels: dict[str, int]


def label_names(splits: Splits) -> list[str]:
    """Return the labels of the training examples; the index of each is its class number. Whole numbers are sorted as numbers.

    Raises `StageError` (DATA) for too few labels or too many, and a held-out example with a label that train lacks.
    """
    found = {label for row in splits.train for label in labels_of(row)}
    column, fewest = ("labels", 1) if "labels" in splits.train.column_names else ("label", 2)
    if not fewest <= len(found) <= MOST_LABELS:
        said = f"the training examples have {len(found)} label(s); {fewest} to {MOST_LABELS} are supported"
        raise refuse(said, f"Check the column `{column}`.")
    require_known(splits, found, labels_of, "label")
    return sorted(found, key=int) if all(label.isdecimal() for label in found) else sorted(found)


def labels_of(row: Row) -> list[str]:
    """Return the labels of an example."""
    return row["labels"] if "labels" in row else [row["label"]]


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
    return counted(Counter(label for row in dataset for label in labels_of(row)))


def counted(counts: Counter[str]) -> LabelFacts:
    """Return the number of labels, and the counts of the most frequent ones, as a report has them."""
    shown: Counter[str] = Counter()
    for label, count in counts.most_common(MOST_LABELS_SHOWN):
        shown[one_line(label, _LABEL_CHARACTERS) or "(not printable)"] += count
    return {"label_count": len(counts), "labels": dict(shown)}


def encode_labeled(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", settings: Settings, labels: list[str]) -> EncodedTexts:
    """`input_ids` of at most `maxLength` tokens, special tokens included, and `labels`: the class number, or 0 or 1 for each label.

    Raises `StageError` (DATA).
    """
    numbers = {label: number for number, label in enumerate(labels)}

    def wanted(row: Row) -> Labels:
        return [float(label in row["labels"]) for label in labels] if "labels" in row else numbers[row["label"]]

    def read(row: Row, limit: int | None) -> tuple[list[int], Labels]:
        return tokenizer(row["text"], truncation=limit is not None, max_length=limit)["input_ids"], wanted(row)

    return encode_texts(dataset, settings, read, per_token=False)
