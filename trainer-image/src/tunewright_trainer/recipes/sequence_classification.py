"""Classifiers that give a text one label, or each label that holds: an encoder or a decoder with a classification head.

Read from top to bottom: `check`, `train` and `export` are what the three stages do for this kind of model.
"""

from pathlib import Path

from tunewright_contract.capabilities.tasks import TASKS, ProblemType
from tunewright_contract.encoder_heads import SequenceClassificationHead
from tunewright_contract.folders import EVALUATION_NAME, ModelManifest
from tunewright_contract.reports import CheckReport, DataFacts, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits, data_format, data_sha256


def problem_type_of(settings: Settings) -> ProblemType:
    """Return transformers' problem type, by which a classifier chooses its loss."""
    problem_type = TASKS[settings.config.task].problem_type
    assert problem_type is not None  # noqa: S101 - by the table of tasks
    return problem_type


def check(settings: Settings, splits: Splits) -> CheckReport:
    """Count, encode and dry-run the export; cheap and likely faults first. Raises `StageError` for the first one."""
    from tunewright_trainer.data import review
    from tunewright_trainer.data.texts import encode_labeled, label_facts, label_names
    from tunewright_trainer.export.onnx_encoder import dry_run_encoder
    from tunewright_trainer.tuning.base_model import require_weights
    from tunewright_trainer.tuning.heads import headed_config
    from tunewright_trainer.tuning.model_facts import model_facts, require_fit
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    require_weights(settings)
    tokenizer = load_tokenizer(settings)
    labels = label_names(splits)
    config = headed_config(settings, tokenizer, labels, problem_type=problem_type_of(settings))
    model = model_facts(config, settings)
    require_fit(len(tokenizer), model, settings)

    encoded = {name: encode_labeled(split, tokenizer, settings, labels) for name, split in splits.named()}
    data = DataFacts(
        format=data_format(settings),
        sha256=data_sha256(settings),
        **{name: found.facts for name, found in encoded.items()},
        **label_facts(splits.train),
    )

    dry_run_encoder(settings, config, SequenceClassificationHead(labels=labels, problem_type=problem_type_of(settings)))

    warnings = [*review.lengths(encoded["train"], settings), *review.overlaps(splits, settings)]
    return CheckReport(model=model, data=data, exporter="dynamo", warnings=warnings)


def train(settings: Settings, request: StopRequest) -> TrainReport:
    """Train on every rank of the group, and leave `final/`. Raises `StageError`; after `Stopped` there is a checkpoint to resume from."""
    from transformers import DataCollatorWithPadding, TrainingArguments

    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.data.texts import encode_labeled, label_names
    from tunewright_trainer.distributed.final import train_to_final
    from tunewright_trainer.distributed.resume import starting_point
    from tunewright_trainer.evaluation.label_scores import scoring_of
    from tunewright_trainer.recipes.trainers import Trainer
    from tunewright_trainer.tuning.heads import headed_config, ready_to_train
    from tunewright_trainer.tuning.progress import MetricsCallback, posters
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    labels = label_names(splits)
    start = starting_point(settings)
    train_set = encode_labeled(splits.train, tokenizer, settings, labels).dataset
    validation_set = None if splits.validation is None else encode_labeled(splits.validation, tokenizer, settings, labels).dataset

    config = headed_config(settings, tokenizer, labels, problem_type=problem_type_of(settings))
    arguments, model = ready_to_train(
        settings, tokenizer, config, TrainingArguments, has_validation=validation_set is not None, label_names=["labels"]
    )
    trainer = Trainer(
        start=start,
        request=request,
        model=model,
        args=arguments,
        train_dataset=train_set,
        eval_dataset=validation_set,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=scoring_of(config.problem_type).training_metrics,
        callbacks=[MetricsCallback(settings.metrics_file), *posters()],
    )
    return train_to_final(trainer, settings, inputs=start.inputs)


def export(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` unless the graph matches the trained model."""
    import numpy as np

    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.data.texts import encode_labeled, label_names
    from tunewright_trainer.evaluation.encoded import EncodedRow
    from tunewright_trainer.evaluation.evaluate import Result, write_evaluation
    from tunewright_trainer.evaluation.held_out import Question
    from tunewright_trainer.evaluation.label_scores import scoring_of
    from tunewright_trainer.export.convert_encoder import convert_encoder, describe, held_out
    from tunewright_trainer.export.merge import read_train_report
    from tunewright_trainer.tuning.heads import headed_config
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    train_report = read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    labels = label_names(splits)
    config = headed_config(settings, tokenizer, labels, problem_type=problem_type_of(settings))
    compared, most, kept_out = held_out(settings, splits)
    encoded = encode_labeled(compared, tokenizer, settings, labels)
    rows, wanted = [EncodedRow(ids) for ids in encoded.dataset["input_ids"][:most]], encoded.dataset["labels"][:most]

    head = SequenceClassificationHead(labels=labels, problem_type=problem_type_of(settings))
    scoring = scoring_of(head.problem_type)
    converted = convert_encoder(settings, config, head, rows, draft, positions=lambda _, logits: scoring.positions(logits))

    evaluation = None
    if kept_out:
        texts = compared.select(encoded.kept[:most])["text"]
        references = scoring.in_words(np.array(wanted), labels)
        questions = [Question(text, row.ids, reference) for text, row, reference in zip(texts, rows, references, strict=True)]
        before, after = (np.stack(found) for found in (converted.base, converted.trained))
        base, tuned = (Result(scoring.score(found, wanted), scoring.in_words(scoring.chosen(found), labels)) for found in (before, after))
        evaluation = write_evaluation(draft / EVALUATION_NAME, questions, base, tuned)
    return describe(settings, converted, draft, train=train_report, evaluation=evaluation)
