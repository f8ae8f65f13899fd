"""Turns training's result into a model folder: score, merge, export, compare, score again, describe.

Promises to return a manifest only for a graph that passed `graph_check` and `parity`.
"""

from pathlib import Path

from transformers import PretrainedConfig

from tunewright_contract.model_manifest import EVALUATION_NAME, ModelManifest
from tunewright_contract.reports import EvaluationReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation.evaluate import Evaluator, Result, write_evaluation
from tunewright_trainer.evaluation.held_out import read_held_out, stop_ids
from tunewright_trainer.export import merge, publish
from tunewright_trainer.export.convert import convert, timed
from tunewright_trainer.export.lineage import trace, write_card
from tunewright_trainer.export.onnx_genai import is_long_rope
from tunewright_trainer.tuning.base_model import generation_defaults
from tunewright_trainer.tuning.tokenizer import copy_tokenizer, load_tokenizer


def assemble(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` before anything doubtful is kept."""
    config = settings.config
    train = merge.read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    held_out = read_held_out(settings, tokenizer)
    stop = stop_ids(settings, tokenizer, held_out.compared)
    evaluator = Evaluator(held_out, tokenizer, stop, config.evaluation.max_new_tokens, generation_defaults(settings))
    with timed("base model scored"):
        base = evaluator.evaluate(merge.load_original(settings)) if held_out.scored else None
    converted = convert(settings, held_out.compared, stop, draft)
    merged, closeness = converted.merged, converted.closeness
    with timed("tuned model scored"):
        tuned = evaluator.evaluate(merged) if held_out.scored else None
    evaluation = _evaluation(draft, evaluator, base, tuned)
    lineage = trace(settings, train=train, evaluation=evaluation)
    copy_tokenizer(settings, draft)
    (draft / "README.md").write_text(write_card(config, lineage=lineage, parity=closeness, evaluation=evaluation), encoding="utf-8")
    return ModelManifest(
        name=config.job.name,
        revision=config.job.revision,
        task=config.task,
        architecture=merged.config.model_type,
        precision=config.export.precision,
        graph=converted.graph,
        context_length=context_length(merged.config, fallback=tokenizer.model_max_length),
        vocab_size=merged.config.vocab_size,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_ids=stop,
        pad_token_id=tokenizer.pad_token_id,
        long_rope_switch=long_rope_switch(merged.config),
        files=publish.list_files(draft),
        lineage=lineage,
        parity=closeness,
        evaluation=evaluation,
    )


def context_length(config: PretrainedConfig, *, fallback: int) -> int:
    """Tokens the model can attend to; configurations without such a bound leave it to the tokenizer's."""
    return int(getattr(config, "max_position_embeddings", None) or fallback)


def long_rope_switch(config: PretrainedConfig) -> int | None:
    """The sequence length beyond which a LongRoPE model turns to its second rotary table; None for all others."""
    return int(config.original_max_position_embeddings) if is_long_rope(config) else None


def _evaluation(draft: Path, evaluator: Evaluator, base: Result | None, tuned: Result | None) -> EvaluationReport | None:
    if base is None or tuned is None:
        return None
    return write_evaluation(draft / EVALUATION_NAME, evaluator.held_out.questions, base, tuned)
