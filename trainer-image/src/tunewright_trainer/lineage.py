"""Where a model comes from: enough to make it again, and to say whose it is."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tunewright_contract.model_manifest import Lineage
from tunewright_contract.reports import EvaluationReport, TrainReport
from tunewright_trainer.base_contents import open_model_file
from tunewright_trainer.data import data_sha256
from tunewright_trainer.model import base_folder, random_base
from tunewright_trainer.settings import Settings

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
        return f"{hub.repo}@{folder.name}"  # the hub's cache names a snapshot after its commit, also when a branch was asked for
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
            }
    return {name: value for name, value in found.items() if value is not None}


def _versions() -> dict[str, str]:
    return {name: found for name in _PACKAGES if (found := _version(name)) is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
