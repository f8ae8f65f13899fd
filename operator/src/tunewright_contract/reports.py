"""What a stage says at its end, as JSON in its termination message: at most 4096 bytes, the limit of Kubernetes.

A failure is a `Failure`; a success is the stage's own report. `dump` keeps within the limit by cutting prose, never structure.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from tunewright_contract.base import Message

LIMIT_BYTES = 4096  # Kubernetes cuts a termination message there, in the middle of whatever it says


class Failure(Message):
    """Why a process ended without success. `reason` is CamelCase and stable; `suggestion` is the way out."""

    kind: Literal["failure"] = "failure"
    reason: str
    message: str
    rank: int | None = None
    suggestion: str = ""


class ModelFacts(Message):
    """What Check counted in the base model. Counts are parameters."""

    architecture: str  # the configuration's model_type
    parameters: int
    trainable_parameters: int
    linear_parameters: int  # in the linear layers that 4-bit quantisation would replace
    largest_layer_parameters: int
    hidden_size: int
    layers: int
    vocab_size: int
    context_length: int
    target_modules: dict[str, int] = Field(default_factory=dict)  # module name -> how many are adapted


class SplitFacts(Message):
    """One data set after reading and templating."""

    samples: int
    tokens: int = 0
    supervised_tokens: int = 0
    truncated: int = 0  # samples longer than maxLength
    dropped: int = 0
    token_histogram: list[int] = Field(default_factory=list)  # samples per bucket of LENGTH_BUCKETS


LENGTH_BUCKETS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)  # upper bounds in tokens; one more bucket for the rest


class DataFacts(Message):
    """What Check found in the data. `sha256` covers every file, in the order of the job."""

    format: str
    sha256: str
    train: SplitFacts
    validation: SplitFacts | None = None
    test: SplitFacts | None = None


class CheckReport(Message):
    """Check's answer: nothing stands in the way, and here is what there is."""

    kind: Literal["check"] = "check"
    model: ModelFacts
    data: DataFacts
    exporter: Literal["genai", "dynamo"]
    warnings: list[str] = Field(default_factory=list)


class TrainReport(Message):
    """Train's answer, from rank 0."""

    kind: Literal["train"] = "train"
    step: int
    max_steps: int
    train_loss: float
    eval_loss: float | None = None
    tokens: int = 0
    seconds: float = 0.0  # in the training loop, this attempt
    peak_memory_bytes: int = 0  # of the fullest rank
    resumed_from_step: int | None = None


class ParityReport(Message):
    """Exported against trained, position by position."""

    max_logit_difference: float
    mean_kl: float
    top1_agreement: float
    positions: int


class Score(Message):
    """One model on the held-out set. `exact_match` is the share of greedy answers equal to the reference."""

    loss: float
    token_accuracy: float
    exact_match: float | None = None
    samples: int = 0


class EvaluationReport(Message):
    """The base model and the tuned one on the same held-out examples."""

    base: Score
    tuned: Score


class Artifact(Message):
    """One exported model folder. `path` is relative to the destination, `sha256` covers the manifest of files."""

    path: str
    precision: str
    bytes: int
    sha256: str
    parity: ParityReport


class ExportReport(Message):
    """Export's answer: what was written, how close it is, and whether tuning helped."""

    kind: Literal["export"] = "export"
    artifacts: list[Artifact]
    evaluation: EvaluationReport | None = None


Report = Annotated[Failure | CheckReport | TrainReport | ExportReport, Field(discriminator="kind")]
_REPORT: TypeAdapter[Report] = TypeAdapter(Report)


def dump(report: Report) -> str:
    """Write a report within `LIMIT_BYTES`, shortening `message`, then `suggestion`, then `warnings`."""
    text = report.model_dump_json(exclude_none=True)
    if isinstance(report, CheckReport):
        while len(text.encode()) > LIMIT_BYTES and report.warnings:
            report = report.model_copy(update={"warnings": report.warnings[:-1]})
            text = report.model_dump_json(exclude_none=True)
    for field in ("message", "suggestion"):
        while isinstance(report, Failure) and len(text.encode()) > LIMIT_BYTES and len(getattr(report, field)) > 1:
            value: str = getattr(report, field)
            report = report.model_copy(update={field: value[: len(value) // 2] + "…"})
            text = report.model_dump_json(exclude_none=True)
    return text


def load(text: str) -> Report:
    """Read a termination message. Raises `pydantic.ValidationError` on anything that no process of ours wrote."""
    return _REPORT.validate_json(text)
