"""Warnings about usable examples, for Check's report."""

from typing import TYPE_CHECKING

from tunewright_contract.fenced import Fence
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import Splits, fingerprint
from tunewright_trainer.data.rows import Row

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tunewright_trainer.data.tokenization import Encoded

_MANY_TRUNCATED = 0.05  # share of the training samples


def lengths(train: "Encoded", settings: Settings) -> list[str]:
    """Warn about samples that are cut or dropped, and about samples without a token that ends the answer."""
    facts, warnings = train.facts, []
    if facts.truncated > _MANY_TRUNCATED * facts.samples:
        share = facts.truncated / facts.samples
        fate = "dropped" if settings.config.data.overlong_policy == "drop" else "cut"
        warnings.append(
            f"{share:.0%} of the training samples are longer than data.maxLength={settings.config.data.max_length} and are {fate}"
        )
    if train.ending_share < 1:
        warnings.append(
            f"{1 - train.ending_share:.0%} of the training samples do not teach the model to stop: their last trained token is no end token"
        )
    return warnings


def special_tokens(splits: Splits, fence: Fence) -> list[str]:
    """Count the examples in which the text of a special token is written out."""
    warnings = []
    for name, split in splits.named():
        held = [row for row in split if fence.needed(row["messages"] if "messages" in row else _as_messages(row))]
        if held:
            fate = "it is trained as text" if "messages" in held[0] else "this format reads it as these tokens"
            warnings.append(
                f"{len(held)} of {len(split)} {name} example(s) hold the text of special tokens, first {held[0]['source']}: {fate}"
            )
    return warnings


def _as_messages(row: Row) -> list[dict[str, str]]:
    return [{"content": row[field]} for field in ("prompt", "completion")]


def overlaps(splits: Splits, settings: Settings) -> list[str]:
    """Warn about held-out examples that are also in train, and about an evaluation schedule without validation data."""
    warnings = []
    trained = {fingerprint(row) for row in splits.train}
    for name, split in splits.named():
        if name == "train":
            continue
        shared = sum(fingerprint(row) in trained for row in split)
        if shared:
            warnings.append(f"{shared} of {len(split)} {name} example(s) are also in train, so their score is too good")
    if splits.validation is None and settings.config.training.get("eval_strategy", "no") != "no":
        warnings.append("there is no validation data, so training.evalStrategy has no effect")
    return warnings


def padding(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """Warn about a tokenizer that pads with its eos token."""
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id != tokenizer.eos_token_id:
        return []
    return ["the tokenizer pads with its eos token; Tunewright masks padding by position, but other tools may mask the real eos"]
