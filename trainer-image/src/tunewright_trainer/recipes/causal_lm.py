"""Causal language models, for conversations and plain text: checked with TRL's templates, trained with TRL, exported as a decoder graph.

Read from top to bottom: `check`, `train` and `export` are the three stages for this kind of model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright_contract.folders import EVALUATION_NAME, ModelManifest
from tunewright_contract.reports import CheckReport, DataFacts, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits, data_format, data_sha256

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from trl import SFTConfig


def check(settings: Settings, splits: Splits) -> CheckReport:
    """Count, encode and dry-run the export; cheap and likely faults first. Raises `StageError` for the first one."""
    from tunewright_trainer.data import review
    from tunewright_trainer.data.chat import Conversations
    from tunewright_trainer.data.tokenization import encode
    from tunewright_trainer.evaluation.held_out import questions_too_long, require_comparable
    from tunewright_trainer.export.dry_run import dry_run_export
    from tunewright_trainer.export.exportable import require_attention, require_exportable
    from tunewright_trainer.export.onnx_genai import exporter_for
    from tunewright_trainer.tuning.base_model import auto_class, generation_defaults, load_config, require_weights
    from tunewright_trainer.tuning.model_facts import model_facts, require_fit
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    require_weights(settings)
    generation_defaults(settings)
    config = load_config(settings)
    require_exportable(config, auto_class(settings))
    require_attention(config, settings.config.model.attn_implementation, auto_class(settings))
    tokenizer = load_tokenizer(settings)
    model = model_facts(config, settings)
    require_fit(len(tokenizer), model, settings)

    encoded = {name: encode(split, tokenizer, settings) for name, split in splits.named()}
    data = DataFacts(format=data_format(settings), sha256=data_sha256(settings), **{name: found.facts for name, found in encoded.items()})
    require_comparable(splits, tokenizer, settings)

    dry_run_export(settings, config)

    warnings = [
        *review.special_tokens(splits, Conversations(tokenizer).fence),
        *review.lengths(encoded["train"], settings),
        *review.overlaps(splits, settings),
        *questions_too_long(splits, tokenizer, settings),
        *review.padding(tokenizer),
    ]
    return CheckReport(model=model, data=data, exporter=exporter_for(config), warnings=warnings)


def train(settings: Settings, request: StopRequest) -> TrainReport:
    """Train on every rank of the group, and write `final/`. Raises `StageError`; after `Stopped` there is a checkpoint to resume from."""
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.data.tokenization import encode
    from tunewright_trainer.distributed.final import train_to_final
    from tunewright_trainer.distributed.resume import starting_point
    from tunewright_trainer.recipes.trainers import SFTTrainer
    from tunewright_trainer.tuning.adapters import adapter_config
    from tunewright_trainer.tuning.base_model import load_base, random_base
    from tunewright_trainer.tuning.progress import MetricsCallback, posters
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    start = starting_point(settings)
    train_set = encode(splits.train, tokenizer, settings).dataset
    validation_set = None if splits.validation is None else encode(splits.validation, tokenizer, settings).dataset

    if settings.config.model.from_scratch:
        random_base(settings)  # before the arguments, because afterwards ZeRO-3 partitions every new model
    adapter = adapter_config(settings)
    arguments = sft_config(settings, has_validation=validation_set is not None)
    trainer = SFTTrainer(
        start=start,
        request=request,
        model=load_base(settings),
        args=arguments,
        train_dataset=train_set,
        eval_dataset=validation_set,
        processing_class=tokenizer,
        peft_config=adapter,
        callbacks=[MetricsCallback(settings.metrics_file), *posters()],
    )
    return train_to_final(trainer, settings, inputs=start.inputs)


def export(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` unless the graph matches the trained model."""
    from tunewright_trainer.evaluation.evaluate import Evaluator, write_evaluation
    from tunewright_trainer.evaluation.held_out import read_held_out, stop_ids
    from tunewright_trainer.export import merge, publish
    from tunewright_trainer.export.convert import convert, timed
    from tunewright_trainer.export.lineage import trace, write_card
    from tunewright_trainer.tuning.base_model import generation_defaults
    from tunewright_trainer.tuning.tokenizer import copy_tokenizer, load_tokenizer

    config = settings.config
    train_report = merge.read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    held_out = read_held_out(settings, tokenizer)
    stop = stop_ids(settings, tokenizer, held_out.compared)
    evaluator = Evaluator(held_out, tokenizer, stop, config.evaluation.max_new_tokens, generation_defaults(settings))

    with timed("base model scored"):
        base = evaluator.evaluate(merge.load_original(settings)) if held_out.scored else None
    converted = convert(settings, held_out.compared, stop, draft)
    merged, parity = converted.merged, converted.closeness
    with timed("tuned model scored"):
        tuned = evaluator.evaluate(merged) if held_out.scored else None
    evaluation = write_evaluation(draft / EVALUATION_NAME, held_out.questions, base, tuned) if base and tuned else None

    lineage = trace(settings, train=train_report, evaluation=evaluation)
    copy_tokenizer(settings, draft)
    (draft / "README.md").write_text(write_card(config, lineage=lineage, parity=parity, evaluation=evaluation), encoding="utf-8")
    return ModelManifest(
        name=config.job.name,
        revision=config.job.revision,
        task=config.task,
        architecture=merged.config.model_type,
        precision=config.export.precision,
        graph=converted.graph,
        context_length=_context_length(merged.config, fallback=tokenizer.model_max_length),
        vocab_size=merged.config.vocab_size,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_ids=stop,
        pad_token_id=tokenizer.pad_token_id,
        long_rope_switch=_long_rope_switch(merged.config),
        files=publish.list_files(draft),
        lineage=lineage,
        parity=parity,
        evaluation=evaluation,
    )


def sft_config(settings: Settings, *, has_validation: bool) -> "SFTConfig":
    """Return TRL's training arguments, without the data preparation that this recipe has done already."""
    from trl import SFTConfig

    from tunewright_trainer.tuning.arguments import training_arguments

    ours: dict[str, Any] = {
        "max_length": settings.config.data.max_length,
        "assistant_only_loss": False,  # `encode` has set the labels already
        "completion_only_loss": False,
    }
    if not settings.config.training.get("packing"):
        ours["dataset_kwargs"] = {"skip_prepare_dataset": True}  # `encode` has done it
    return training_arguments(settings, SFTConfig, has_validation=has_validation, **ours)


def _context_length(config: "PretrainedConfig", *, fallback: int) -> int:
    """Return the most tokens that the model can attend to; configurations without this bound use the tokenizer's."""
    return int(getattr(config, "max_position_embeddings", None) or fallback)


def _long_rope_switch(config: "PretrainedConfig") -> int | None:
    """Return the sequence length beyond which a LongRoPE model uses its second rotary table; None for other models."""
    from tunewright_trainer.export.onnx_genai import is_long_rope

    return int(config.original_max_position_embeddings) if is_long_rope(config) else None
