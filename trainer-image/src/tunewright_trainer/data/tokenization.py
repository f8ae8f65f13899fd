"""Converts examples to token ids and labels, equally for Check, training and evaluation.

Promises `input_ids` and `labels` (-100: no loss) of at most `maxLength` tokens. Labels depend on positions, not on
token ids, so an eos that is also the padding token is learned like any other token.
"""

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import LENGTH_BUCKETS, SplitFacts
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.chat import Conversations
from tunewright_trainer.data.rows import Row

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label that torch's cross entropy leaves out


@dataclass(frozen=True)
class Encoded:
    """One encoded set, with counts for the report."""

    dataset: "Dataset"
    facts: SplitFacts
    ending_share: float  # share of the samples whose last supervised token ends a turn or the text


def encode(dataset: "Dataset", tokenizer: "PreTrainedTokenizerBase", settings: Settings, *, part: bool = False) -> Encoded:
    """Tokenize a set. Raises `StageError` (DATA) for an overlong sample under `raise`, and if no token is left to learn.

    A `part` of a set may have no token to learn.
    """
    from datasets import Dataset

    config = settings.config
    conversations = Conversations(tokenizer, _training_template(tokenizer, settings)) if TASKS[config.task].needs_chat_template else None
    limit, policy = config.data.max_length, config.data.overlong_policy
    stops = _stop_tokens(tokenizer)
    rows: list[dict[str, list[int]]] = []
    tokens = supervised = truncated = dropped = ending = 0
    histogram = [0] * (len(LENGTH_BUCKETS) + 1)
    for row in dataset:
        ids, labels = _encode_row(row, tokenizer, settings, conversations)
        histogram[next((i for i, bound in enumerate(LENGTH_BUCKETS) if len(ids) <= bound), len(LENGTH_BUCKETS))] += 1
        if len(ids) > limit:
            if policy == "raise":
                raise _refuse(f"{row['source']}: {len(ids)} tokens, more than data.maxLength={limit}", "Shorten it, or set overlongPolicy.")
            truncated += 1
            ids, labels = (ids[:limit], labels[:limit]) if policy == "truncate" else ([], [])
        learned = [label for label in labels if label != IGNORED]
        if not learned:
            dropped += 1
            continue
        rows.append({"input_ids": ids, "labels": labels})
        tokens += len(ids)
        supervised += len(learned)
        ending += bool(stops & set(learned[-2:]))  # some templates put a newline after the end of the turn
    if not rows and not part:
        raise _refuse(
            f"none of {len(dataset)} sample(s) has a supervised token within data.maxLength={limit}",
            "Raise data.maxLength, or check that the chat template marks the assistant's turns.",
        )
    facts = SplitFacts(
        samples=len(dataset), tokens=tokens, supervised_tokens=supervised, truncated=truncated, dropped=dropped, token_histogram=histogram
    )
    return Encoded(Dataset.from_list(rows), facts, ending / max(1, len(rows)))


def _encode_row(
    row: Row, tokenizer: "PreTrainedTokenizerBase", settings: Settings, conversations: Conversations | None
) -> tuple[list[int], list[int]]:
    if conversations is not None:
        return _encode_chat(row, settings, conversations)
    prompt = tokenizer(row["prompt"])["input_ids"] if row["prompt"] else []
    whole = tokenizer(row["prompt"] + row["completion"])["input_ids"]
    if whole[-1] != tokenizer.eos_token_id:
        whole = [*whole, tokenizer.eos_token_id]
    # The completion starts where the two tokenizations begin to differ, because a token can span the boundary.
    start = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), min(len(prompt), len(whole)))
    learn_prompt = settings.config.training.get("completion_only_loss") is False
    return whole, whole if learn_prompt else [IGNORED] * start + whole[start:]


def _encode_chat(row: Row, settings: Settings, conversations: Conversations) -> tuple[list[int], list[int]]:
    messages = [{"role": message["role"], "content": message["content"]} for message in row["messages"]]
    only_assistant = _assistant_only(settings)
    try:
        ids, said = conversations.encode(messages, mask=only_assistant)
    except Exception as error:  # a template can raise any error: jinja2's, and raise_exception for roles it refuses
        raise _refuse(f"{row['source']}: the chat template raises: {error}", "Change the example, or model.chatTemplate.") from error
    if not only_assistant:
        return ids, ids
    mask = _weighted(said, row)
    return ids, [token if learned else IGNORED for token, learned in zip(ids, mask, strict=True)]


def _weighted(mask: list[int], row: Row) -> list[int]:
    """Remove the turns of weight 0 from the mask. Turn k of the assistant is the k-th run of ones."""
    weights = [message["weight"] for message in row["messages"] if message["role"] == "assistant"]
    if all(weights):
        return mask
    runs = [(value, sum(1 for _ in run)) for value, run in groupby(mask)]
    if sum(value for value, _ in runs) != len(weights):
        raise _refuse(
            f"{row['source']}: the chat template joins assistant turns, so `weight` cannot be assigned to each",
            "Leave `weight` out of the example.",
        )
    left = iter(weights)
    return [kept for value, length in runs for kept in [value and next(left)] * length]


def _training_template(tokenizer: "PreTrainedTokenizerBase", settings: Settings) -> str | None:
    """Return the template with `{% generation %}` marks, or None if the tokenizer's own has them or none are needed."""
    from trl.chat_template_utils import get_training_chat_template, has_generation_markers

    if not _assistant_only(settings) or has_generation_markers(tokenizer.chat_template):
        return None
    try:
        marked: str | None = get_training_chat_template(tokenizer)
    except ValueError as error:
        raise StageError(
            ExitCode.CONFIGURATION,
            "ChatTemplateUnmarked",
            "data.assistantOnlyLoss needs a chat template that marks the assistant's turns with {% generation %}; this one does not",
            "Put {% generation %}…{% endgeneration %} around them in model.chatTemplate.jinja, or set data.assistantOnlyLoss: false.",
        ) from error
    return marked


def _assistant_only(settings: Settings) -> bool:
    return bool(settings.config.training.get("assistant_only_loss", True))


def _stop_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Return the tokens that end a turn or a text: eos, and every added token with "end" in its name."""
    named = {token.content: index for index, token in tokenizer.added_tokens_decoder.items()}
    return {tokenizer.eos_token_id, *(index for content, index in named.items() if "end" in content.lower() or "eot" in content.lower())}


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.DATA, "DataInvalid", message, suggestion)
