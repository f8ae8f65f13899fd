"""The origin of a model: enough to reproduce it and to identify its owner, in the manifest for programs and in the card for people."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tunewright_contract.folders import Lineage
from tunewright_contract.reports import EvaluationReport, ParityReport, Score, TrainReport
from tunewright_contract.trainer_config import TrainerConfig
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import data_sha256
from tunewright_trainer.tuning.adapters import adapter_arguments, tuner_of
from tunewright_trainer.tuning.base_contents import open_model_file
from tunewright_trainer.tuning.base_model import base_folder, random_base

_PACKAGES = (
    "tunewright",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "deepspeed",
    "bitsandbytes",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-genai",
)


# Scores of generated texts, and their names for people.
_OF_TEXTS = {"bleu": "BLEU", "chrf": "chrF", "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rouge_l": "ROUGE-L", "rouge_lsum": "ROUGE-Lsum"}


def trace(settings: Settings, *, train: TrainReport, evaluation: EvaluationReport | None) -> Lineage:
    """Describe the job, its base, its data and the outcome of its training."""
    job = settings.config.job
    return Lineage(
        namespace=job.namespace,
        job=job.name,
        uid=job.uid,
        revision=job.revision,
        base=describe_base(settings),
        data_sha256=data_sha256(settings),
        method=settings.config.method.model_dump(mode="json", exclude_none=True),
        metrics=_metrics(train, evaluation),
        versions=_versions(),
    )


def describe_base(settings: Settings) -> str:
    """`repo@commit` for a hub model, else `sha256:` over the folder's weights."""
    hub = settings.config.model.hub
    if settings.config.model.from_scratch:
        return weights_sha256(random_base(settings))
    folder = base_folder(settings)
    if hub is not None:
        return f"{hub.repo}@{folder.name}"  # the hub's cache names a snapshot after its commit, even if a branch was requested
    return weights_sha256(folder)


def weights_sha256(folder: Path) -> str:
    """SHA-256 over name and SHA-256 of every safetensors file, in the order of their names. Raises `StageError`."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        with open_model_file(path) as file:
            whole.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return f"sha256:{whole.hexdigest()}"


def _metrics(train: TrainReport, evaluation: EvaluationReport | None) -> dict[str, float]:
    found: dict[str, float | None] = {"train_loss": train.train_loss, "eval_loss": train.eval_loss, "steps": float(train.step)}
    if evaluation is not None:
        for whose, score in (("base", evaluation.base), ("tuned", evaluation.tuned)):
            found |= {
                f"{whose}_loss": score.loss,
                f"{whose}_token_accuracy": score.token_accuracy,
                f"{whose}_exact_match": score.exact_match,
                f"{whose}_f1_macro": score.f1_macro,
                f"{whose}_f1": score.f1,
                **{f"{whose}_{name}": getattr(score, name) for name in _OF_TEXTS},
            }
    return {name: value for name, value in found.items() if value is not None}


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := _version(name)) is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_card(config: TrainerConfig, *, lineage: Lineage, parity: ParityReport, evaluation: EvaluationReport | None) -> str:
    """Markdown with the base, the method, the scores and how close the export is."""
    method = config.method
    adapter = "DoRA" if adapter_arguments(method).get("use_dora") else (tuner_of(config).title or method.tuner)
    kind = adapter if tuner_of(config).adapts else "full fine-tuning"
    quantised = " on a quantised base, dequantised before merging" if method.quantization else ""
    rows = [
        ("job", f"{config.job.namespace}/{config.job.name}, revision {config.job.revision}"),
        ("task", config.task),
        ("base", lineage.base),
        ("data", f"sha256:{lineage.data_sha256}"),
        ("method", f"{method.type}, {kind}{quantised}"),
        ("precision", config.export.precision),
    ]
    facts = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return (
        f"# {config.job.name}\n\nFine-tuned and exported by Tunewright; `tunewright.json` says the same for machines.\n\n"
        f"| | |\n|---|---|\n{facts}\n\n{_evaluation(evaluation)}"
        f"## Parity with the trained model\n\n{parity.positions} positions of held-out examples, against the trained model in fp32: "
        f"top-1 agreement {parity.top1_agreement:.4f}, mean KL {parity.mean_kl:.3g}, "
        f"largest logit difference {parity.max_logit_difference:.3g}.\n"
    )


def _evaluation(evaluation: EvaluationReport | None) -> str:
    if evaluation is None:
        return ""
    return (
        f"## On {evaluation.tuned.samples} held-out examples\n\n| | base | tuned |\n|---|---|---|\n"
        f"{_row('loss', evaluation, 'loss')}"
        f"{_row(_accuracy(evaluation.tuned), evaluation, 'token_accuracy')}"
        f"{_row('exact match', evaluation, 'exact_match')}{_row('macro F1', evaluation, 'f1_macro')}"
        f"{_row('F1', evaluation, 'f1')}{''.join(_row(title, evaluation, name) for name, title in _OF_TEXTS.items())}\n"
    )


def _accuracy(score: Score) -> str:
    if score.f1 is not None and score.precision is None:
        return "first and last token right"
    return "token accuracy" if score.f1_macro is None else "accuracy"


def _row(name: str, evaluation: EvaluationReport, field: str) -> str:
    before, after = (_value(score, field) for score in (evaluation.base, evaluation.tuned))
    return f"| {name} | {before} | {after} |\n" if before else ""


def _value(score: Score, field: str) -> str:
    value = getattr(score, field)
    return "" if value is None else f"{value:.4f}"
