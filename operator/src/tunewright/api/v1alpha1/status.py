"""`status`: conditions by the rules of kstatus, and fields for people and columns. The operator writes it and decides nothing from it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints, WithJsonSchema
from pydantic.alias_generators import to_camel

from tunewright.api.v1alpha1.common import keyed
from tunewright_contract import stages

Message = Annotated[str, StringConstraints(max_length=1024)]
Name = Annotated[str, StringConstraints(max_length=253)]
Long = Annotated[str, StringConstraints(max_length=2048)]


class ConditionType(StrEnum):
    """The conditions of a whole job; the condition of a stage is in its row of the stage table.

    `Reconciling`, `Stalled` (kstatus), `ChangeRefused` and `ModelRegressed` exist only while true.
    """

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    CHANGE_REFUSED = "ChangeRefused"
    MODEL_REGRESSED = "ModelRegressed"


class Reason(StrEnum):
    """The reason of a condition: one stable word for conditions and metrics. A failed stage adds the reason that it reported."""

    INVALID_SPEC = "InvalidSpec"
    PLAN_REJECTED = "PlanRejected"
    REFERENCE_MISSING = "ReferenceMissing"
    OPERATOR_FORBIDDEN = "OperatorForbidden"
    OPERATOR_FAILED = "OperatorFailed"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    PENDING = "Pending"
    QUEUED = "Queued"
    EVICTING = "Evicting"
    RUNNING = "Running"
    RETRYING = "Retrying"
    RESIZING = "Resizing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    NOT_WANTED = "NotWanted"
    SERVING = "Serving"
    ROLLED_BACK = "RolledBack"
    COMPLETE = "Complete"
    MODEL_REGRESSED = "ModelRegressed"
    REGRESSION_ALLOWED = "RegressionAllowed"


class Phase(StrEnum):
    """A summary in one word, derived from the conditions. The phase of a running stage is in its row of the stage table."""

    PENDING = "Pending"
    WAITING = "Waiting"
    QUEUED = "Queued"
    SERVING = "Serving"
    COMPLETE = "Complete"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


def _phases() -> list[str]:
    return [*(phase.value for phase in Phase), *(stage.phase for stage in stages.STAGES)]


def _known_phase(phase: str) -> str:
    if phase not in _phases():
        raise ValueError(f"must be one of {', '.join(_phases())}")
    return phase


PhaseWord = Annotated[str, AfterValidator(_known_phase), WithJsonSchema({"type": "string", "enum": _phases()})]


class StatusPart(BaseModel):
    """The base class of every part. It ignores unknown fields, because the stored status can be older or newer than this code."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


class Condition(StatusPart):
    """metav1.Condition."""

    type: Annotated[str, StringConstraints(max_length=316)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    message: Annotated[str, StringConstraints(max_length=32768)] = ""
    observed_generation: int | None = None
    last_transition_time: AwareDatetime | None = None


class PlanStatus(StatusPart):
    """The plan: ZeRO stage, offload and memory, with the arithmetic."""

    zero_stage: int
    offload: Name = "none"
    world_size: int
    estimated_bytes_per_rank: int | None = None
    """Sum of model states, buffers, activations and process."""
    available_bytes_per_rank: int | None = None
    """Memory of the accelerator, or the worker's memory limit."""
    why: Message = ""


class ProgressStatus(StatusPart):
    """Progress of training, with Kubeflow Trainer's field names."""

    step: int = 0
    max_steps: int = 0
    progress_percentage: Annotated[int, Field(ge=0, le=100)] = 0
    estimated_remaining_seconds: int | None = None
    loss: Name | None = None
    """A decimal number as text, because Kubernetes APIs avoid floating-point numbers."""
    eval_loss: Name | None = None
    learning_rate: Name | None = None
    tokens_per_second: Name | None = None
    last_updated_time: AwareDatetime | None = None
    reported_step: int | None = None
    """The last reported step. It is below `step` while an attempt repeats lost steps."""
    step_time: AwareDatetime | None = None
    """Time of the first report of this step."""
    since_step: int | None = None
    """Step of the current attempt's first report, from which the rate and the time left are computed."""
    since_time: AwareDatetime | None = None


class CheckpointStatus(StatusPart):
    """The newest checkpoint that verifies."""

    step: int
    path: Long | None = None
    resumed_from_step: int | None = None


class DataStatus(StatusPart):
    """Result of Check for the data."""

    format: Name = ""
    sha256: Name = ""
    train_samples: int = 0
    validation_samples: int | None = None
    test_samples: int | None = None
    truncated: int = 0
    split: Message = ""
    labels: Message | None = None
    """Labels of train, with the number of examples of the most frequent ones; or types of entities, with the number of entities."""


class ScoreStatus(StatusPart):
    """Scores of one model on the held-out examples. Numbers are text."""

    loss: Name
    token_accuracy: Name | None = None
    exact_match: Name | None = None
    accuracy: Name | None = None
    """Share of texts that get the right label, or of words that get the right tag."""
    f1_macro: Name | None = None
    """Mean over the labels of their F1."""
    f1: Name | None = None
    """Mean over the questions of the F1 of the answer's words; or F1 of the named entities, all types together."""
    precision: Name | None = None
    """Share of the found entities that are right."""
    recall: Name | None = None
    """Share of the entities that are found."""
    bleu: Name | None = None
    """BLEU of the translations, from 0 to 100."""
    chrf: Name | None = None
    """chrF of the translations, from 0 to 100."""
    rouge1: Name | None = None
    """Mean over the summaries of the F1 of the words they share with the reference. The next three: of pairs of words, and of the
    longest common sequence in the text and in its lines."""
    rouge2: Name | None = None
    rouge_l: Name | None = None
    rouge_lsum: Name | None = None
    samples: int = 0


class EvaluationStatus(StatusPart):
    """Scores of the base and the tuned model."""

    base: ScoreStatus | None = None
    tuned: ScoreStatus | None = None


class ParityStatus(StatusPart):
    """Comparison of the exported with the trained model. Numbers are text."""

    max_logit_difference: Name
    mean_kl: Name
    top1_agreement: Name
    positions: int


class ArtifactStatus(StatusPart):
    """One exported model folder."""

    uri: Long
    digest: Name
    precision: Name
    bytes: int | None = None
    parity: ParityStatus | None = None


class ServingStatus(StatusPart):
    """State of the model server."""

    url: Long | None = None
    revision: Name | None = None
    """Revision that serves: the model's revision and a digest of the server's pod template."""
    previous_revision: Name | None = None
    """Revision that served before, kept for a rollback."""
    rolled_back_revision: Name | None = None
    """Revision that failed and was rolled back."""
    ready_replicas: int = 0


class FailureStatus(StatusPart):
    """The last failure and how to resolve it. Absent after the problem is resolved."""

    stage: Name
    reason: Name
    message: Message = ""
    rank: int | None = None
    suggestion: Message = ""
    pod: Name | None = None
    """Pod whose log has details."""
    exit_code: int | None = None


class FineTuneJobStatus(StatusPart):
    """The observed state of a FineTuneJob."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), keyed("type")] = ()
    observed_generation: int | None = None
    phase: PhaseWord | None = None
    """Summary in one word, derived from the conditions."""
    revision: Name | None = None
    """Hash of the training inputs, used in the names of output folders."""
    reason: Name | None = None
    message: Message | None = None
    attempts: int | None = None
    failure: FailureStatus | None = None
    plan: PlanStatus | None = None
    progress: ProgressStatus | None = None
    checkpoint: CheckpointStatus | None = None
    data: DataStatus | None = None
    evaluation: EvaluationStatus | None = None
    artifacts: Annotated[tuple[ArtifactStatus, ...], Field(max_length=16)] = ()
    serving: ServingStatus | None = None
    warnings: Annotated[tuple[Message, ...], Field(max_length=32)] = ()

    def wire(self) -> dict[str, JsonValue]:
        """Return the JSON object, without absent fields."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)
