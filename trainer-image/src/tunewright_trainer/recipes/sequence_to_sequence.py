"""Encoder-decoders that turn a source text into a target text: translations and summaries.

Read from top to bottom: `check`, `train` and `export` are what the three stages do for this kind of model.
"""

from pathlib import Path

from tunewright_contract.folders import EVALUATION_NAME, ModelManifest
from tunewright_contract.reports import CheckReport, DataFacts, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits, data_format, data_sha256


def check(settings: Settings, splits: Splits) -> CheckReport:
    """Count, encode and dry-run the export; cheap and likely faults first. Raises `StageError` for the first one."""
    from tunewright_trainer.data import review
    from tunewright_trainer.data.pairs import encode_pairs
    from tunewright_trainer.export.exportable import require_attention, require_encoder_decoder
    from tunewright_trainer.export.onnx_seq2seq import dry_run_sequence_to_sequence
    from tunewright_trainer.tuning.base_model import auto_class, require_weights
    from tunewright_trainer.tuning.encoder_decoder import (
        encoder_decoder_config,
        greedy_generation,
        require_forced_token,
        unserved_generation,
    )
    from tunewright_trainer.tuning.model_facts import model_facts, require_fit
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    require_weights(settings)
    config = encoder_decoder_config(settings)
    require_encoder_decoder(config)
    require_attention(config, settings.config.model.attn_implementation, auto_class(settings))
    tokenizer = load_tokenizer(settings)
    generation = greedy_generation(settings, config, tokenizer)
    model = model_facts(config, settings)
    require_fit(len(tokenizer), model, settings)

    encoded = {name: encode_pairs(split, tokenizer, settings) for name, split in splits.named()}
    require_forced_token(generation, encoded["train"].dataset[0]["labels"], tokenizer)
    data = DataFacts(format=data_format(settings), sha256=data_sha256(settings), **{name: found.facts for name, found in encoded.items()})

    dry_run_sequence_to_sequence(settings, config)

    warnings = [*review.lengths(encoded["train"], settings), *review.overlaps(splits, settings), *unserved_generation(settings)]
    return CheckReport(model=model, data=data, exporter="dynamo", warnings=warnings)


def train(settings: Settings, request: StopRequest) -> TrainReport:
    """Train on every rank of the group, and leave `final/`. Raises `StageError`; after `Stopped` there is a checkpoint to resume from."""
    from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainingArguments

    from tunewright_contract.capabilities.tasks import TASKS
    from tunewright_trainer.data.pairs import encode_pairs
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.data.tokenization import IGNORED
    from tunewright_trainer.distributed.final import train_to_final
    from tunewright_trainer.distributed.resume import starting_point
    from tunewright_trainer.evaluation.generated_text import training_metrics
    from tunewright_trainer.evaluation.pairs import target_room
    from tunewright_trainer.recipes.trainers import Seq2SeqTrainer
    from tunewright_trainer.tuning.encoder_decoder import encoder_decoder_config, greedy_generation
    from tunewright_trainer.tuning.heads import ready_to_train
    from tunewright_trainer.tuning.progress import MetricsCallback, posters
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    start = starting_point(settings)
    texts = ["source_text", "target_text"]
    train_set = encode_pairs(splits.train, tokenizer, settings).dataset.remove_columns(texts)
    validation = splits.validation
    validation_set = None if validation is None else encode_pairs(validation, tokenizer, settings).dataset.remove_columns(texts)

    config = encoder_decoder_config(settings)
    arguments, model = ready_to_train(
        settings, tokenizer, config, Seq2SeqTrainingArguments, has_validation=validation_set is not None, label_names=["labels"]
    )
    longest = target_room(config, settings.config.evaluation.max_new_tokens)
    arguments.generation_config = greedy_generation(settings, config, tokenizer, max_new_tokens=longest)
    trainer = Seq2SeqTrainer(
        start=start,
        request=request,
        model=model,
        args=arguments,
        train_dataset=train_set,
        eval_dataset=validation_set,
        processing_class=tokenizer,
        data_collator=DataCollatorForSeq2Seq(tokenizer, model=model, label_pad_token_id=IGNORED),
        compute_metrics=training_metrics(TASKS[settings.config.task].metrics, tokenizer) if arguments.predict_with_generate else None,
        callbacks=[MetricsCallback(settings.metrics_file), *posters()],
    )
    return train_to_final(trainer, settings, inputs=start.inputs)


def export(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` unless the graphs match the trained model."""
    import tempfile

    import torch

    from tunewright_contract.capabilities.precisions import WHOLE
    from tunewright_contract.capabilities.tasks import TASKS
    from tunewright_trainer.data.pairs import encode_pairs
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.evaluation import parity
    from tunewright_trainer.evaluation.evaluate import write_evaluation
    from tunewright_trainer.evaluation.exported_models import ExportedSequenceToSequence
    from tunewright_trainer.evaluation.held_out import Question
    from tunewright_trainer.evaluation.pairs import Pair, PairEvaluator, PairReference
    from tunewright_trainer.export import merge, publish
    from tunewright_trainer.export.convert_encoder import held_out
    from tunewright_trainer.export.lineage import trace, write_card
    from tunewright_trainer.export.onnx_seq2seq import export_sequence_to_sequence
    from tunewright_trainer.tuning.encoder_decoder import encoder_decoder_config, greedy_generation, stop_tokens, write_generation_config
    from tunewright_trainer.tuning.tokenizer import copy_tokenizer, load_tokenizer

    job = settings.config
    train_report = merge.read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    config = encoder_decoder_config(settings)
    generation = greedy_generation(settings, config, tokenizer)
    stop = stop_tokens(settings, config, tokenizer)
    compared, most, kept_out = held_out(settings, read_splits(settings))
    rows = encode_pairs(compared, tokenizer, settings).dataset
    rows = rows.select(range(min(most, len(rows))))
    pairs = [Pair(row["input_ids"], row["labels"], row["source_text"], row["target_text"]) for row in rows]
    evaluator = PairEvaluator(
        pairs=pairs,
        answered=job.evaluation.generate_samples,
        metrics=TASKS[job.task].metrics,
        tokenizer=tokenizer,
        stop=stop,
        max_new_tokens=job.evaluation.max_new_tokens,
        pad=config.pad_token_id,
    )

    base = None
    if kept_out:
        original = merge.load_original(settings, config)
        original.generation_config = generation
        base = evaluator.evaluate(original)
        del original
    trained = merge.load_trained(settings, config)
    trained.generation_config = generation
    greedy = parity.GREEDY_PROMPTS if job.export.precision == WHOLE.name else 0  # rounding may part two greedy answers
    with tempfile.TemporaryDirectory(prefix=".parity-", dir=settings.output_dir) as scratch:
        prompts = pairs[: job.export.parity.prompts]
        reference = PairReference(prompts, stop, Path(scratch), start=config.decoder_start_token_id, greedy_prompts=greedy)
        reference.record(trained)  # with the adapter still beside the base
        merged = merge.merge(trained)
        merged.generation_config = generation
        merge.save_merged(merged, settings)
        graph = export_sequence_to_sequence(merged, draft, precision=job.export.precision)
        exported = ExportedSequenceToSequence(draft, graph, threads=torch.get_num_threads())
        closeness = parity.compare(reference.against(exported))
        parity.gate(closeness, job.export.parity, precision=job.export.precision)
        parity.gate_greedy(reference.greedy_against(exported), precision=job.export.precision)

    evaluation = None
    if base is not None:
        questions = [Question(pair.question, pair.source, pair.reference) for pair in pairs[: job.evaluation.generate_samples]]
        evaluation = write_evaluation(draft / EVALUATION_NAME, questions, base, evaluator.evaluate(merged))
    lineage = trace(settings, train=train_report, evaluation=evaluation)
    copy_tokenizer(settings, draft)
    write_generation_config(generation, draft)
    (draft / "README.md").write_text(write_card(job, lineage=lineage, parity=closeness, evaluation=evaluation), encoding="utf-8")
    return ModelManifest(
        name=job.job.name,
        revision=job.job.revision,
        task=job.task,
        architecture=merged.config.model_type,
        precision=job.export.precision,
        graph=graph,
        context_length=min(graph.max_target_length or job.data.max_length, job.data.max_length),
        vocab_size=merged.config.vocab_size,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_ids=stop,
        pad_token_id=config.pad_token_id,
        files=publish.list_files(draft),
        lineage=lineage,
        parity=closeness,
        evaluation=evaluation,
    )
