"""Words with tags as token ids and tag numbers, for check, training and evaluation alike.

A word's tag is on its first token. Later tokens of the word and special tokens are not trained.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunewright_contract.words import BEGIN, OUTSIDE, entities, first_tokens, in_words, join_words
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import Splits
from tunewright_trainer.data.rows import Row
from tunewright_trainer.data.texts import MOST_LABELS, EncodedTexts, LabelFacts, Labels, counted, encode_texts, refuse, require_known
from tunewright_trainer.data.tokenization import IGNORED

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def tag_names(splits: Splits) -> list[str]:
    """The tags of the training examples, `O` first, then by type; the place of each is its number.

    Raises `StageError` (DATA) for examples without entities, too many tags, and a held-out example with a tag that training never sees.
    """
    found = {tag for row in splits.train for tag in row["tags"]} - {OUTSIDE}
    if not found:
        raise refuse("the training examples have no entity: each tag is O", "Check the column `ner_tags`.")
    if len(found) >= MOST_LABELS:
        raise refuse(f"the training examples have {len(found)} tags; at most {MOST_LABELS} are supported", "Check the column `ner_tags`.")
    require_known(splits, found | {OUTSIDE}, lambda row: row["tags"], "tag")
    return [OUTSIDE, *sorted(found, key=lambda tag: (tag[len(BEGIN) :], tag))]


def entity_facts(dataset: "Dataset") -> LabelFacts:
    """How many types of entities there are, and the number of entities of the most frequent ones."""
    return counted(Counter(entity.kind for row in dataset for entity in entities(row["tags"])))


def encode_tagged(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", settings: Settings, tags: list[str]) -> EncodedTexts:
    """`input_ids` of at most `maxLength` tokens, and in `labels` a tag number for each token. Raises `StageError` (DATA)."""
    numbers = {tag: number for number, tag in enumerate(tags)}

    def read(row: Row, limit: int | None) -> tuple[list[int], Labels]:
        ids, firsts = _read_words(row, tokenizer, limit)
        labels = [IGNORED] * len(ids)
        for first, tag in zip(firsts, row["tags"], strict=True):
            if first is not None:
                labels[first] = numbers[tag]
        return ids, labels

    return encode_texts(dataset, settings, read)


def words_read(row: Row, tokenizer: "PreTrainedTokenizerBase", settings: Settings) -> list[str]:
    """The words of an example that have a token within `maxLength`: those that `encode_tagged` labels."""
    _, firsts = _read_words(row, tokenizer, settings.config.data.max_length)
    return [word for word, first in zip(row["tokens"], firsts, strict=True) if first is not None]


def described(words: Sequence[str], tags: Sequence[str]) -> str:
    """The entities of tagged words, for a person."""
    return in_words([(" ".join(words[entity.first : entity.last + 1]), entity.kind) for entity in entities(tags)])


def _read_words(row: Row, tokenizer: "PreTrainedTokenizerBase", limit: int | None) -> tuple[list[int], list[int | None]]:
    text, spans = join_words(row["tokens"])
    encoded = tokenizer(text, truncation=limit is not None, max_length=limit, return_offsets_mapping=True)
    return encoded["input_ids"], first_tokens(spans, encoded["offset_mapping"])
