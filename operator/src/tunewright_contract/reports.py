"""The report of a stage, as JSON in its termination message: at most 4096 bytes, the limit of Kubernetes.

A failure is a `Failure`; a success is the stage's own report. To stay within the limit, `dump` shortens texts, never the structure.
Reports are untrusted: any image can write anything there. Each field has a range (`base.py`), and `load` refuses other values.
"""

from math import isfinite
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_core import from_json

from tunewright_contract.base import (
    Amount,
    Count,
    Loss,
    Message,
    Name,
    Percent,
    Positive,
    Prose,
    Rank,
    ReasonWord,
    RelativePath,
    Sha256,
    Share,
)
from tunewright_contract.text import one_line
from tunewright_contract.trainer_config import Precision

LIMIT_BYTES = 4096  # Kubernetes truncates a termination message there
_QUOTED = 60  # characters of a refused value that a message quotes


class InvalidReportError(ValueError):
    """Not a valid report. The message names the field and the value."""


class Failure(Message):
    """Why a process ended without success. `reason` is CamelCase and stable; `suggestion` is the way out."""

    kind: Literal["failure"] = "failure"
    reason: ReasonWord
    message: Prose
    rank: Rank | None = None
    suggestion: Prose = ""


class StageReport(Message):
    """The base class of a stage's report of success. `kind` is the stage's name; see `stages.py`."""

    kind: str


class ModelFacts(Message):
    """Check's counts of the base model. Counts are parameters."""

    architecture: Name  # the configuration's model_type
    parameters: Positive
    trainable_parameters: Count
    linear_parameters: Count  # of the linear layers that 4-bit quantisation would replace
    largest_layer_parameters: Count
    hidden_size: Positive
    layers: Positive
    vocab_size: Positive
    context_length: Positive
    target_modules: dict[Name, Count] = Field(default_factory=dict, max_length=256)  # module name -> number of adapted modules


class SplitFacts(Message):
    """One data set after reading and templating."""

    samples: Count
    tokens: Count = 0
    supervised_tokens: Count = 0
    truncated: Count = 0  # samples longer than maxLength
    dropped: Count = 0
    token_histogram: list[Count] = Field(default_factory=list, max_length=64)  # samples per bucket of LENGTH_BUCKETS


LENGTH_BUCKETS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)  # upper bounds in tokens; one more bucket for the rest


MOST_LABELS_SHOWN = 16


class DataFacts(Message):
    """Check's result for the data. `sha256` covers every file, in the order of the job.

    `labels` are the most frequent ones of train, with their numbers of examples.
    """

    format: Name
    sha256: Sha256
    train: SplitFacts
    validation: SplitFacts | None = None
    test: SplitFacts | None = None
    label_count: Count = 0  # 0: the task has no labels
    labels: dict[Name, Count] = Field(default_factory=dict, max_length=MOST_LABELS_SHOWN)


class CheckReport(StageReport):
    """Check's report: the job can train, and the facts about its model and data."""

    kind: Literal["check"] = "check"
    model: ModelFacts
    data: DataFacts
    exporter: Literal["genai", "dynamo"]
    warnings: list[Prose] = Field(default_factory=list, max_length=256)


class TrainReport(StageReport):
    """Train's report, from rank 0."""

    kind: Literal["train"] = "train"
    step: Count
    max_steps: Count
    train_loss: float  # if it is not finite, training ends with NaNLoss
    eval_loss: Loss = None  # also None if nothing was held out
    tokens: Count = 0
    seconds: Amount = 0.0  # of the training loop, in this attempt
    peak_memory_bytes: Count = 0  # of the rank with the highest peak
    resumed_from_step: Count | None = None


class ParityReport(Message):
    """The exported model compared with the trained one, position by position."""

    max_logit_difference: float
    mean_kl: float
    top1_agreement: Share
    positions: Count


class Score(Message):
    """The scores of one model on the held-out set. `exact_match` is the share of greedy answers equal to the reference.

    Of a classifier: `token_accuracy` is the share of texts with the right label, `f1_macro` the mean over labels of their F1. Where several
    labels can hold, a text is right with all of its labels and no other, and `f1_micro` is the F1 over all labels of all texts together.
    Of answers found in a context: `token_accuracy` is the share of windows with the right first and last token, `f1` the mean over
    questions of the F1 of the answer's words, and `exact_match` the share of answers equal to a reference.
    Of named entities: `token_accuracy` is the share of words with the right tag. An entity is right with its type and its exact words;
    `precision`, `recall` and `f1` count entities, all types together.
    Of generated texts: `bleu` and `chrf` of sacreBLEU for translations, the mean F1 of ROUGE for summaries. None where none was generated.
    """

    loss: Loss = None
    token_accuracy: Share
    exact_match: Share | None = None
    f1_macro: Share | None = None
    f1_micro: Share | None = None
    f1: Share | None = None
    precision: Share | None = None
    recall: Share | None = None
    bleu: Percent | None = None
    chrf: Percent | None = None
    rouge1: Share | None = None
    rouge2: Share | None = None
    rouge_l: Share | None = None
    rouge_lsum: Share | None = None
    samples: Count = 0


class EvaluationReport(Message):
    """The base model and the tuned one on the same held-out examples."""

    base: Score
    tuned: Score


class Artifact(Message):
    """One exported model folder. `path` is relative to the destination, `sha256` covers the manifest of files."""

    path: RelativePath
    precision: Precision
    bytes: Count
    sha256: Sha256
    parity: ParityReport


class ExportReport(StageReport):
    """Export's report: the written folders, their parity, and the scores of base and tuned model."""

    kind: Literal["export"] = "export"
    artifacts: list[Artifact] = Field(min_length=1, max_length=16)
    evaluation: EvaluationReport | None = None


Report = Failure | StageReport


def dump(report: Report) -> str:
    """Write a report within `LIMIT_BYTES`, shortening `message`, then `suggestion`; of Check's, `warnings`, then `labels`."""
    text = report.model_dump_json(exclude_none=True)
    if isinstance(report, CheckReport):
        while len(text.encode()) > LIMIT_BYTES and report.warnings:
            report = report.model_copy(update={"warnings": report.warnings[:-1]})
            text = report.model_dump_json(exclude_none=True)
        if len(text.encode()) > LIMIT_BYTES and report.data.labels:
            report = report.model_copy(update={"data": report.data.model_copy(update={"labels": {}})})
            text = report.model_dump_json(exclude_none=True)
    for field in ("message", "suggestion"):
        while isinstance(report, Failure) and len(text.encode()) > LIMIT_BYTES and len(getattr(report, field)) > 1:
            value: str = getattr(report, field)
            report = report.model_copy(update={field: value[: len(value) // 2] + "…"})
            text = report.model_dump_json(exclude_none=True)
    return text


def load(text: str) -> Report:
    """Read a termination message. Raises `InvalidReportError` for an invalid one, infinite numbers included."""
    if len(text) > LIMIT_BYTES:
        raise InvalidReportError(f"it has {len(text)} characters; at most {LIMIT_BYTES} are read")
    try:
        found = from_json(text.encode(), allow_inf_nan=False)
        _require_finite("", found)
        return _type_of(found).model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "report"
        raise InvalidReportError(f"{one_line(place, _QUOTED)}: {_quoted(first['input'])}: {one_line(first['msg'], 200)}") from error
    except InvalidReportError:
        raise
    except ValueError as error:
        raise InvalidReportError(f"it is not JSON: {one_line(str(error), 200)}") from error


def _type_of(found: Any) -> type[Report]:
    """Return the type that a report's `kind` names."""
    if not isinstance(found, dict):
        raise InvalidReportError(f"report: {_quoted(found)}: must be an object")
    kinds: tuple[type[Report], ...] = (Failure, *StageReport.__subclasses__())
    types = {kind.model_fields["kind"].default: kind for kind in kinds}
    named = found.get("kind")
    if not isinstance(named, str) or named not in types:
        raise InvalidReportError(f"kind: {_quoted(named)}: must be one of {', '.join(types)}")
    return types[named]


def _require_finite(place: str, value: Any) -> None:
    """Raise `InvalidReportError` for a number such as 1e999. The JSON parser bounds the nesting, and so this recursion."""
    if isinstance(value, float) and not isfinite(value):
        raise InvalidReportError(f"{one_line(place, _QUOTED)}: {value}: must be a finite number")
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        _require_finite(f"{place}.{name}" if place else str(name), item)


def _quoted(value: Any) -> str:
    """Return the start of a value, or the type of a container."""
    if isinstance(value, int) and not -(10**40) < value < 10**40:
        return "a whole number of more than 40 digits"  # Python cannot print the longest ones
    return type(value).__name__ if isinstance(value, dict | list) else one_line(repr(value), _QUOTED)
