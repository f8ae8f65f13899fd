"""From trained weights to a graph of an encoder, and the numbers that base, trained and exported model give the same texts.

Shared by the recipes of all heads: they differ in what the numbers mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tunewright_contract.encoder_heads import Head
from tunewright_contract.folders import EncoderGraph, ModelManifest
from tunewright_contract.reports import EvaluationReport, ParityReport, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation import parity
from tunewright_trainer.evaluation.encoded import EncodedRow, ExportedEncoder, run_model
from tunewright_trainer.evaluation.exported_models import FloatArray
from tunewright_trainer.export import merge, publish
from tunewright_trainer.export.graph_check import GRAPH_FILE
from tunewright_trainer.export.lineage import trace, write_card
from tunewright_trainer.export.onnx_encoder import export_encoder
from tunewright_trainer.tuning.tokenizer import copy_tokenizer

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PretrainedConfig, PreTrainedModel

    from tunewright_trainer.data.reading import Splits


@dataclass(frozen=True)
class ConvertedEncoder:
    """The merged model, its graph, and the numbers of each row by the base and by the trained model."""

    merged: "PreTrainedModel"
    graph: EncoderGraph
    base: list[FloatArray]
    trained: list[FloatArray]
    closeness: ParityReport


def held_out(settings: Settings, splits: "Splits") -> "tuple[Dataset, int, bool]":
    """The examples that the models are compared on, how many of them, and whether they were kept out of training."""
    kept = splits.test if splits.test is not None else splits.validation
    if kept is not None:
        return kept, settings.config.evaluation.max_samples, True
    return splits.train, settings.config.export.parity.prompts, False


def convert_encoder(
    settings: Settings,
    config: "PretrainedConfig",
    head: Head,
    rows: Sequence[EncodedRow],
    draft: Path,
    *,
    positions: Callable[[int, FloatArray], FloatArray],
) -> ConvertedEncoder:
    """Write the graph into `draft`, and the merged model beside the checkpoints.

    `positions` takes the number of a row and its array, and returns [positions, choices]: what parity compares.
    Raises `StageError` unless the graph matches the trained model.
    """
    job = settings.config
    base = run_model(merge.load_original(settings, config), head, rows, pad=config.pad_token_id)
    with_adapter = merge.load_trained(settings, config)
    trained = run_model(with_adapter, head, rows, pad=config.pad_token_id)  # the adapter is still beside the base: the reference
    merged = merge.merge(with_adapter)
    merge.save_merged(merged, settings)
    graph = export_encoder(merged, draft, head, precision=job.export.precision)
    compared = rows[: job.export.parity.prompts]
    exported = ExportedEncoder(draft / GRAPH_FILE, graph, threads=torch.get_num_threads()).run(compared)
    pairs = zip(trained, exported, strict=False)
    closeness = parity.compare((positions(at, ours), positions(at, theirs)) for at, (ours, theirs) in enumerate(pairs))
    parity.gate(closeness, job.export.parity, precision=job.export.precision)
    return ConvertedEncoder(merged, graph, base, trained, closeness)


def describe(
    settings: Settings, converted: ConvertedEncoder, draft: Path, *, train: TrainReport, evaluation: EvaluationReport | None
) -> ModelManifest:
    """Add tokenizer and model card to `draft`, and return the manifest of its files."""
    job, config = settings.config, converted.merged.config
    lineage = trace(settings, train=train, evaluation=evaluation)
    copy_tokenizer(settings, draft)
    card = write_card(job, lineage=lineage, parity=converted.closeness, evaluation=evaluation)
    (draft / "README.md").write_text(card, encoding="utf-8")
    return ModelManifest(
        name=job.job.name,
        revision=job.job.revision,
        task=job.task,
        architecture=config.model_type,
        precision=job.export.precision,
        graph=converted.graph,
        context_length=job.data.max_length,  # Check compared it with the positions of the model
        vocab_size=config.vocab_size,
        eos_token_ids=[],
        pad_token_id=config.pad_token_id,
        files=publish.list_files(draft),
        lineage=lineage,
        parity=converted.closeness,
        evaluation=evaluation,
    )
