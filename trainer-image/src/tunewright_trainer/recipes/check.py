"""Check: validates everything possible before the job takes an accelerator.

Promises the facts that the plan needs, and every error that training would find later: base model, tokenizer, data row by row, the
adapter's targets, the export. Loads no weights of the base, and needs no accelerator.
"""

import logging
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.fenced import Fence
from tunewright_contract.reports import CheckReport, DataFacts, ModelFacts
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import Splits, data_format, data_sha256, fingerprint, read_splits
from tunewright_trainer.data.rows import Row
from tunewright_trainer.tuning.arguments import refuse_impossible

if TYPE_CHECKING:
    from tunewright_trainer.data.tokenization import Encoded

log = logging.getLogger(__name__)

_TRUNCATED_WORTH_SAYING = 0.05  # share of the training samples


def run(settings: Settings) -> CheckReport:
    """Look at everything; cheap and likely faults first. Raises `StageError` for the first one."""
    refuse_impossible(settings)
    splits = read_splits(settings)

    from tunewright_trainer.data.chat import Conversations
    from tunewright_trainer.data.tokenization import encode
    from tunewright_trainer.evaluation.held_out import questions_too_long, require_comparable
    from tunewright_trainer.export.dry_run import dry_run_export
    from tunewright_trainer.export.exportable import require_attention, require_exportable
    from tunewright_trainer.export.onnx_genai import exporter_for
    from tunewright_trainer.tuning.base_model import generation_defaults, load_config, require_weights
    from tunewright_trainer.tuning.model_facts import model_facts
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    require_weights(settings)
    generation_defaults(settings)
    config = load_config(settings)
    require_exportable(config)
    require_attention(config, settings.config.model.attn_implementation)
    tokenizer = load_tokenizer(settings)
    model = model_facts(config, settings)
    _require_fit(len(tokenizer), model, settings)
    encoded = {
        name: encode(split, tokenizer, settings)
        for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test))
        if split is not None
    }
    data = DataFacts(format=data_format(settings), sha256=data_sha256(settings), **{name: found.facts for name, found in encoded.items()})
    require_comparable(splits, tokenizer, settings)
    dry_run_export(settings, config)
    fence = Conversations(tokenizer).fence
    warnings = [
        *_about_special_tokens(splits, fence),
        *_about_training(encoded["train"], settings),
        *_about_splits(splits, settings),
        *questions_too_long(splits, tokenizer, settings),
    ]
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id == tokenizer.eos_token_id:
        warnings.append(
            "the tokenizer pads with its eos token; padding is left out by position here, but other tools may mask the real eos"
        )
    for warning in warnings:
        log.warning(warning)
    return CheckReport(model=model, data=data, exporter=exporter_for(config), warnings=warnings)


def _require_fit(tokens: int, model: ModelFacts, settings: Settings) -> None:
    limit = settings.config.data.max_length
    if limit > model.context_length:
        raise StageError(
            ExitCode.CONFIGURATION,
            "MaxLengthTooLong",
            f"data.maxLength={limit} is beyond the model's context of {model.context_length} tokens",
            f"Set data.maxLength to at most {model.context_length}.",
        )
    if tokens > model.vocab_size:
        raise StageError(
            ExitCode.CONFIGURATION,
            "TokenizerTooLarge",
            f"the tokenizer has {tokens} tokens and the model embeddings for {model.vocab_size}",
            "Use the tokenizer that belongs to this model.",
        )


def _about_training(train: "Encoded", settings: Settings) -> list[str]:
    facts, warnings = train.facts, []
    if facts.truncated > _TRUNCATED_WORTH_SAYING * facts.samples:
        share = facts.truncated / facts.samples
        fate = "dropped" if settings.config.data.overlong_policy == "drop" else "cut"
        warnings.append(
            f"{share:.0%} of the training samples are longer than data.maxLength={settings.config.data.max_length} and are {fate}"
        )
    if train.ending_share < 1:
        warnings.append(
            f"{1 - train.ending_share:.0%} of the training samples do not teach the model to stop: their last learned token ends nothing"
        )
    return warnings


def _about_special_tokens(splits: Splits, fence: Fence) -> list[str]:
    """Count the examples in which the text of a special token is written out."""
    warnings = []
    for name, split in (("train", splits.train), ("validation", splits.validation), ("test", splits.test)):
        held = [row for row in split or () if fence.needed(row["messages"] if "messages" in row else _as_messages(row))]
        if held:
            fate = "they are learned as text" if "messages" in held[0] else "in this format they are read as these tokens"
            warnings.append(
                f"{len(held)} of {len(split)} {name} example(s) hold the text of special tokens, first {held[0]['source']}: {fate}"
            )
    return warnings


def _as_messages(row: Row) -> list[dict[str, str]]:
    return [{"content": row[field]} for field in ("prompt", "completion")]


def _about_splits(splits: Splits, settings: Settings) -> list[str]:
    warnings = []
    trained = {fingerprint(row) for row in splits.train}
    for name, split in (("validation", splits.validation), ("test", splits.test)):
        if split is None:
            continue
        shared = sum(fingerprint(row) in trained for row in split)
        if shared:
            warnings.append(f"{shared} of {len(split)} {name} example(s) are also in train, so their score flatters")
    if splits.validation is None and settings.config.training.get("eval_strategy", "no") != "no":
        warnings.append("there is no validation data, so training.evalStrategy has nothing to evaluate")
    return warnings
