"""Pairs of a source and a target as token ids, for Check, training and evaluation alike.

Promises `input_ids` (the source) and `labels` (the target), each of at most `maxLength` tokens. A target ends with the end token unless it
was cut, so a model does not learn to stop in the middle.
"""

from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import LENGTH_BUCKETS, SplitFacts
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.tokenization import Encoded

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase


def encode_pairs(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", settings: Settings) -> Encoded:
    """Tokenize a set of prompts (sources) and completions (targets). Raises `StageError` (DATA) for what `overlongPolicy` refuses.

    The set that is returned keeps the texts in `source_text` and `target_text`.
    """
    from datasets import Dataset

    limit, policy = settings.config.data.max_length, settings.config.data.overlong_policy
    rows: list[dict[str, object]] = []
    tokens = supervised = truncated = dropped = whole = 0
    histogram = [0] * (len(LENGTH_BUCKETS) + 1)
    for row in dataset:
        source, target = tokenizer(row["prompt"])["input_ids"], target_ids(row["completion"], tokenizer)
        longest = max(len(source), len(target))
        histogram[next((i for i, bound in enumerate(LENGTH_BUCKETS) if longest <= bound), len(LENGTH_BUCKETS))] += 1
        if longest > limit:
            if policy == "raise":
                side = "source" if len(source) == longest else "target"
                raise _refuse(
                    f"{row['source']}: the {side} has {longest} tokens, more than data.maxLength={limit}",
                    "Shorten it, raise data.maxLength, or set overlongPolicy.",
                )
            truncated += 1
            if policy == "drop":
                dropped += 1
                continue
            source = tokenizer(row["prompt"], truncation=True, max_length=limit)["input_ids"]
        complete, target = len(target) <= limit, target[:limit]
        rows.append({"input_ids": source, "labels": target, "source_text": row["prompt"], "target_text": row["completion"]})
        tokens += len(source) + len(target)
        supervised += len(target)
        whole += complete
    if not rows:
        raise _refuse(f"none of {len(dataset)} example(s) fits data.maxLength={limit}", "Raise data.maxLength, or set overlongPolicy.")
    facts = SplitFacts(
        samples=len(dataset), tokens=tokens, supervised_tokens=supervised, truncated=truncated, dropped=dropped, token_histogram=histogram
    )
    return Encoded(Dataset.from_list(rows), facts, whole / len(rows))


def target_ids(text: str, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """Return a target with the special tokens that its language asks for, and the end token."""
    ids: list[int] = tokenizer(text_target=text)["input_ids"]
    return ids if ids and ids[-1] == tokenizer.eos_token_id else [*ids, tokenizer.eos_token_id]


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.DATA, "DataInvalid", message, suggestion)
