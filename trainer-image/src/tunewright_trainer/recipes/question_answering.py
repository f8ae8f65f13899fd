"""Models that find the answer to a question in a context: for each token, whether the answer starts there, and whether it ends there.

Read from top to bottom: `check`, `train` and `export` are what the three stages do for this kind of model.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright_contract.encoder_heads import QuestionAnsweringHead
from tunewright_contract.folders import EVALUATION_NAME, ModelManifest
from tunewright_contract.reports import CheckReport, DataFacts, TrainReport
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.data.reading import Splits, data_format, data_sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tunewright_trainer.data.questions import ReadingWindows

_ENDS = ("start", "end")  # what the two numbers of a token stand for
_POSITIONS = ["start_positions", "end_positions"]


def check(settings: Settings, splits: Splits) -> CheckReport:
    """Count, encode and dry-run the export; cheap and likely faults first. Raises `StageError` for the first one."""
    from tunewright_trainer.data import review
    from tunewright_trainer.data.questions import encode_questions, windows_review
    from tunewright_trainer.export.onnx_encoder import dry_run_encoder
    from tunewright_trainer.tuning.base_model import require_weights
    from tunewright_trainer.tuning.heads import headed_config
    from tunewright_trainer.tuning.model_facts import model_facts, require_fit
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    require_weights(settings)
    tokenizer = load_tokenizer(settings)
    config = headed_config(settings, tokenizer, _ENDS)
    model = model_facts(config, settings)
    require_fit(len(tokenizer), model, settings)

    reading = _reading(settings, tokenizer)
    encoded = {name: encode_questions(split, reading, held_out=name != "train") for name, split in splits.named()}
    facts = {name: found.facts for name, found in encoded.items()}
    data = DataFacts(format=data_format(settings), sha256=data_sha256(settings), **facts)

    dry_run_encoder(settings, config, _head(splits, reading))

    warnings = [*windows_review(encoded, reading), *review.overlaps(splits, settings)]
    return CheckReport(model=model, data=data, exporter="dynamo", warnings=warnings)


def train(settings: Settings, request: StopRequest) -> TrainReport:
    """Train on every rank of the group, and leave `final/`. Raises `StageError`; after `Stopped` there is a checkpoint to resume from."""
    from transformers import DataCollatorWithPadding, TrainingArguments

    from tunewright_trainer.data.questions import encode_questions
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.distributed.final import train_to_final
    from tunewright_trainer.distributed.resume import starting_point
    from tunewright_trainer.evaluation.encoded import TYPES, takes_types
    from tunewright_trainer.evaluation.question_answering import training_metrics
    from tunewright_trainer.recipes.trainers import WindowTrainer
    from tunewright_trainer.tuning.heads import headed_config, ready_to_train
    from tunewright_trainer.tuning.progress import MetricsCallback, posters
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    start = starting_point(settings)
    reading = _reading(settings, tokenizer)
    train_set = encode_questions(splits.train, reading).dataset
    validation = None if splits.validation is None else encode_questions(splits.validation, reading, held_out=True)

    config = headed_config(settings, tokenizer, _ENDS)
    arguments, model = ready_to_train(
        settings, tokenizer, config, TrainingArguments, has_validation=validation is not None, label_names=_POSITIONS
    )
    unknown = [] if takes_types(model) else [TYPES]
    trainer = WindowTrainer(
        start=start,
        request=request,
        model=model,
        args=arguments,
        train_dataset=train_set.remove_columns(unknown),
        eval_dataset=None if validation is None else validation.dataset.remove_columns(unknown),
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=None if validation is None else training_metrics(validation.asked, no_answer=_head(splits, reading).no_answer),
        callbacks=[MetricsCallback(settings.metrics_file), *posters()],
    )
    return train_to_final(trainer, settings, inputs=start.inputs)


def export(settings: Settings, draft: Path) -> ModelManifest:
    """Fill `draft` with everything but the manifest, and return that. Raises `StageError` unless the graph matches the trained model."""
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.evaluation.encoded import EncodedRow
    from tunewright_trainer.evaluation.evaluate import Result, write_evaluation
    from tunewright_trainer.evaluation.held_out import Question
    from tunewright_trainer.evaluation.question_answering import answers_of, score
    from tunewright_trainer.export.convert_encoder import convert_encoder, describe, held_out
    from tunewright_trainer.export.merge import read_train_report
    from tunewright_trainer.tuning.heads import headed_config
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    train_report = read_train_report(settings)
    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    config = headed_config(settings, tokenizer, _ENDS)
    reading = _reading(settings, tokenizer)
    compared, most, kept_out = held_out(settings, splits)
    asked = list(reading.read(compared.select(range(min(most, len(compared))))))
    rows = [EncodedRow(list(window.tokens), list(window.types)) for question in asked for window in question.windows]

    head = _head(splits, reading)
    converted = convert_encoder(settings, config, head, rows, draft, positions=lambda _, logits: logits.T)

    evaluation = None
    if kept_out:
        questions = [Question(f"{each.question}\n{each.context}", [], (each.answers or [""])[0]) for each in asked]
        scored = []
        for logits in (converted.base, converted.trained):
            answers = answers_of(asked, logits, no_answer=head.no_answer)
            scored.append(Result(score(asked, logits, answers), answers))
        evaluation = write_evaluation(draft / EVALUATION_NAME, questions, *scored)
    return describe(settings, converted, draft, train=train_report, evaluation=evaluation)


def _reading(settings: Settings, tokenizer: "PreTrainedTokenizerBase") -> "ReadingWindows":
    from tunewright_trainer.data.questions import ReadingWindows
    from tunewright_trainer.tuning.tokenizer import served_tokenizer

    data = settings.config.data
    return ReadingWindows(served_tokenizer(settings, tokenizer), length=data.max_length, stride=data.doc_stride or 0)


def _head(splits: Splits, reading: "ReadingWindows") -> QuestionAnsweringHead:
    from tunewright_trainer.data.questions import has_unanswered

    return QuestionAnsweringHead(doc_stride=reading.stride, no_answer=has_unanswered(splits.train))
