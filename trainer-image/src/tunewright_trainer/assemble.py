"""Everything between training's result and a model folder: score, merge, export, compare, score again, describe.

Promises that a manifest comes back only for a graph that passed `graph_check` and `parity`.
"""

import logging
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PretrainedConfig

from tunewright_contract.model_manifest import EVALUATION_NAME, DecoderGraph, ModelManifest
from tunewright_contract.reports import EvaluationReport, ParityReport
from tunewright_trainer import merge, parity, publish
from tunewright_trainer.card import write_card
from tunewright_trainer.evaluate import Examiner, Result, write_evaluation
from tunewright_trainer.generation_defaults import generation_defaults
from tunewright_trainer.graph_check import GRAPH_FILE
from tunewright_trainer.held_out import read_held_out, stop_ids
from tunewright_trainer.lineage import trace
from tunewright_trainer.model import load_tokenizer
from tunewright_trainer.onnx_export import export_onnx
from tunewright_trainer.onnx_genai import is_long_rope
from tunewright_trainer.onnx_runner import ExportedDecoder
from tunewright_trainer.reference import Reference
from tunewright_trainer.settings import Settings
from tunewright_trainer.tokenizer_files import copy_tokenizer

log = logging.getLogger(__name__)


def assemble(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` before anything doubtful is kept."""
    config = settings.config
    train = merge.read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    exam = read_held_out(settings, tokenizer)
    stop = stop_ids(settings, tokenizer, exam.compared)
    examiner = Examiner(exam, tokenizer, stop, config.evaluation.max_new_tokens, generation_defaults(settings))
    with _timed("base model scored"):
        base = examiner.examine(merge.load_original(settings)) if exam.scored else None
    with tempfile.TemporaryDirectory(prefix=".parity-", dir=settings.output_dir) as scratch:
        with _timed("trained model recorded and merged"):
            trained = merge.load_trained(settings)
            reference = Reference(exam.compared, stop, Path(scratch))
            reference.record(trained)
            merged = merge.merge(trained)
            saved = merge.save_merged(merged, settings)
        with _timed("exported to ONNX"):
            graph = export_onnx(merged, saved, draft, precision=config.export.precision)
        with _timed("compared"):
            closeness = prove(reference, draft, graph, settings)
    with _timed("tuned model scored"):
        tuned = examiner.examine(merged) if exam.scored else None
    evaluation = _evaluation(draft, examiner, base, tuned)
    lineage = trace(settings, train=train, evaluation=evaluation)
    copy_tokenizer(settings, draft)
    (draft / "README.md").write_text(write_card(config, lineage=lineage, parity=closeness, evaluation=evaluation), encoding="utf-8")
    return ModelManifest(
        name=config.job.name,
        revision=config.job.revision,
        task=config.task,
        architecture=merged.config.model_type,
        precision=config.export.precision,
        graph=graph,
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


def prove(reference: Reference, folder: Path, graph: DecoderGraph, settings: Settings) -> ParityReport:
    """Hold the exported graph in `folder` to the recorded trained model. Raises `StageError` (ParityFailed)."""
    precision = settings.config.export.precision
    exported = ExportedDecoder(folder / GRAPH_FILE, graph, threads=torch.get_num_threads())
    report = parity.compare(reference.against(exported))
    log.info(
        "parity over %d positions: top-1 agreement %.4f, mean KL %.3g, largest logit difference %.3g",
        report.positions,
        report.top1_agreement,
        report.mean_kl,
        report.max_logit_difference,
    )
    parity.gate(report, settings.config.export.parity, precision=precision)
    if precision == "fp32":
        parity.gate_greedy(reference.greedy_against(exported), precision=precision)
    return report


def context_length(config: PretrainedConfig, *, fallback: int) -> int:
    """Tokens the model can attend to; configurations without such a bound leave it to the tokenizer's."""
    return int(getattr(config, "max_position_embeddings", None) or fallback)


def long_rope_switch(config: PretrainedConfig) -> int | None:
    """The sequence length beyond which a LongRoPE model turns to its second rotary table; None for all others."""
    return int(config.original_max_position_embeddings) if is_long_rope(config) else None


def _evaluation(draft: Path, examiner: Examiner, base: Result | None, tuned: Result | None) -> EvaluationReport | None:
    if base is None or tuned is None:
        return None
    return write_evaluation(draft / EVALUATION_NAME, examiner.exam.questions, base, tuned)


@contextmanager
def _timed(what: str) -> Iterator[None]:
    start = time.monotonic()
    yield
    log.info("%s in %.1f s", what, time.monotonic() - start)
