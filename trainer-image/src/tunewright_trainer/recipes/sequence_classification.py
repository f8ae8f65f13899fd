"""Classifiers that give one label to a text: an encoder or a decoder with a classification head.

Read from top to bottom: `check`, `train` and `export` are what the three stages do for this kind of model.
"""

from pathlib import Path

from tunewright_contract.model_manifest import EVALUATION_NAME, ModelManifest
from tunewright_contract.reports import CheckReport, DataFacts, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits, data_format, data_sha256


def check(settings: Settings, splits: Splits) -> CheckReport:
    """Count, encode and dry-run the export; cheap and likely faults first. Raises `StageError` for the first one."""
    from tunewright_trainer.data import review
    from tunewright_trainer.data.labels import encode_labeled, label_facts, label_names
    from tunewright_trainer.export.onnx_encoder import dry_run_encoder
    from tunewright_trainer.tuning.base_model import require_weights
    from tunewright_trainer.tuning.classifier import classifier_config
    from tunewright_trainer.tuning.model_facts import model_facts, require_fit
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    require_weights(settings)
    tokenizer = load_tokenizer(settings)
    labels = label_names(splits)
    config = classifier_config(settings, tokenizer, labels)
    model = model_facts(config, settings)
    require_fit(len(tokenizer), model, settings)

    encoded = {name: encode_labeled(split, tokenizer, settings, labels) for name, split in splits.named()}
    data = DataFacts(
        format=data_format(settings),
        sha256=data_sha256(settings),
        **{name: found.facts for name, found in encoded.items()},
        **label_facts(splits.train),
    )

    dry_run_encoder(settings, config)

    warnings = [*review.lengths(encoded["train"], settings), *review.overlaps(splits, settings)]
    return CheckReport(model=model, data=data, exporter="dynamo", warnings=warnings)


def train(settings: Settings, request: StopRequest) -> TrainReport:
    """Train on every rank of the group, and leave `final/`. Raises `StageError`; after `Stopped` there is a checkpoint to resume from."""
    from transformers import DataCollatorWithPadding, TrainingArguments

    from tunewright_trainer.data.labels import encode_labeled, label_names
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.distributed.final import save_final, starts
    from tunewright_trainer.distributed.resume import starting_point
    from tunewright_trainer.evaluation.classification import training_metrics
    from tunewright_trainer.recipes.trainers import Trainer
    from tunewright_trainer.tuning.adapters import tuner_of
    from tunewright_trainer.tuning.arguments import training_arguments
    from tunewright_trainer.tuning.base_model import random_base
    from tunewright_trainer.tuning.classifier import classifier_config, load_classifier
    from tunewright_trainer.tuning.master_weights import require_masters, to_fp32
    from tunewright_trainer.tuning.progress import MetricsCallback, posters
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    labels = label_names(splits)
    start = starting_point(settings)
    train_set = encode_labeled(splits.train, tokenizer, settings, labels).dataset
    validation_set = None if splits.validation is None else encode_labeled(splits.validation, tokenizer, settings, labels).dataset

    config = classifier_config(settings, tokenizer, labels)
    if settings.config.model.from_scratch:
        random_base(settings, config)  # before the arguments: from then on ZeRO-3 partitions whatever is created
    tokenizer.padding_side = "right"
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)
    arguments = training_arguments(settings, TrainingArguments, has_validation=validation_set is not None, label_names=["labels"])
    trainer = Trainer(
        start=start,
        request=request,
        model=load_classifier(settings, config),
        args=arguments,
        train_dataset=train_set,
        eval_dataset=validation_set,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=training_metrics,
        callbacks=[MetricsCallback(settings.metrics_file), *posters()],
    )
    to_fp32(trainer.model, settings.config)
    require_masters(trainer.model, settings.config)
    started_as = starts(trainer.model) if tuner_of(settings.config).adapts else {}

    report = trainer.train_or_stop()
    save_final(trainer, settings, report, started_as, inputs=start.inputs)
    return report


def export(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` unless the graph matches the trained model."""
    import torch

    from tunewright_trainer.data.labels import encode_labeled, label_names
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.evaluation import parity
    from tunewright_trainer.evaluation.classification import classify, score
    from tunewright_trainer.evaluation.evaluate import Result, write_evaluation
    from tunewright_trainer.evaluation.held_out import Question
    from tunewright_trainer.export import merge, publish
    from tunewright_trainer.export.graph_check import GRAPH_FILE
    from tunewright_trainer.export.lineage import trace, write_card
    from tunewright_trainer.export.onnx_encoder import ExportedEncoder, export_encoder
    from tunewright_trainer.tuning.classifier import classifier_config
    from tunewright_trainer.tuning.tokenizer import copy_tokenizer, load_tokenizer

    job = settings.config
    train_report = merge.read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    labels = label_names(splits)
    config = classifier_config(settings, tokenizer, labels)
    held_out = splits.test if splits.test is not None else splits.validation
    compared = held_out if held_out is not None else splits.train
    rows = encode_labeled(compared, tokenizer, settings, labels).dataset
    most = job.evaluation.max_samples if held_out is not None else job.export.parity.prompts
    ids, wanted = rows["input_ids"][:most], rows["labels"][:most]

    before = classify(merge.load_original(settings, config), ids, pad=config.pad_token_id)
    trained = merge.load_trained(settings, config)
    after = classify(trained, ids, pad=config.pad_token_id)  # with the adapter still beside the base: the reference for the export
    merged = merge.merge(trained)
    merge.save_merged(merged, settings)

    graph = export_encoder(merged, draft, precision=job.export.precision)
    exported = ExportedEncoder(draft / GRAPH_FILE, graph, threads=torch.get_num_threads())
    prompts = job.export.parity.prompts
    closeness = parity.compare([(after[:prompts], exported.classify(ids[:prompts]))])
    parity.gate(closeness, job.export.parity, precision=job.export.precision)

    evaluation = None
    if held_out is not None:
        questions = [Question(text, row, labels[number]) for text, row, number in zip(compared["text"], ids, wanted, strict=False)]
        base, tuned = (Result(score(found, wanted), [labels[each] for each in found.argmax(-1)]) for found in (before, after))
        evaluation = write_evaluation(draft / EVALUATION_NAME, questions, base, tuned)
    lineage = trace(settings, train=train_report, evaluation=evaluation)
    copy_tokenizer(settings, draft)
    (draft / "README.md").write_text(write_card(job, lineage=lineage, parity=closeness, evaluation=evaluation), encoding="utf-8")
    return ModelManifest(
        name=job.job.name,
        revision=job.job.revision,
        task=job.task,
        architecture=merged.config.model_type,
        precision=job.export.precision,
        graph=graph,
        context_length=min(merged.config.max_position_embeddings, job.data.max_length),
        vocab_size=merged.config.vocab_size,
        eos_token_ids=[],
        pad_token_id=config.pad_token_id,
        files=publish.list_files(draft),
        lineage=lineage,
        parity=closeness,
        evaluation=evaluation,
    )
