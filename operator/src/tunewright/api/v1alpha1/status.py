"""`status`: conditions after kstatus, and what people and columns read. Written by the operator, never read back for decisions."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from pydantic.alias_generators import to_camel

from tunewright.api.v1alpha1.common import keyed

Message = Annotated[str, StringConstraints(max_length=1024)]
Name = Annotated[str, StringConstraints(max_length=253)]
Long = Annotated[str, StringConstraints(max_length=2048)]


class ConditionType(StrEnum):
    """The conditions. `Reconciling`, `Stalled` (kstatus), `ChangeRefused` and `ModelRegressed` are present only while true."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    CHANGE_REFUSED = "ChangeRefused"
    MODEL_REGRESSED = "ModelRegressed"
    VALIDATED = "Validated"
    TRAINED = "Trained"
    EXPORTED = "Exported"
    DEPLOYED = "Deployed"


class Reason(StrEnum):
    """Why a condition stands as it does: stable, one word, used in conditions and metrics. A failed stage adds the reason it reported."""

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
    """One word for people, derived from the conditions."""

    PENDING = "Pending"
    WAITING = "Waiting"
    CHECKING = "Checking"
    QUEUED = "Queued"
    TRAINING = "Training"
    EXPORTING = "Exporting"
    DEPLOYING = "Deploying"
    SERVING = "Serving"
    COMPLETE = "Complete"
    SUSPENDED = "Suspended"
    FAILED = "Failed"


class StatusPart(BaseModel):
    """The base of every part. Open to fields of other versions, since the stored status may be older or newer than this code."""

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
    """What was decided, with the arithmetic."""

    zero_stage: int
    offload: Name = "none"
    world_size: int
    estimated_bytes_per_rank: int | None = None
    """Model states, buffers, activations and process together."""
    available_bytes_per_rank: int | None = None
    """Of the accelerator, or of the worker's memory limit."""
    why: Message = ""


class ProgressStatus(StatusPart):
    """How far training is, in Kubeflow Trainer's words."""

    step: int = 0
    max_steps: int = 0
    progress_percentage: Annotated[int, Field(ge=0, le=100)] = 0
    estimated_remaining_seconds: int | None = None
    loss: Name | None = None
    """A decimal number as text: floating-point numbers have no place in Kubernetes status."""
    eval_loss: Name | None = None
    learning_rate: Name | None = None
    tokens_per_second: Name | None = None
    last_updated_time: AwareDatetime | None = None
    reported_step: int | None = None
    """What the trainer said last; less than `step` while an attempt makes up for lost work."""
    step_time: AwareDatetime | None = None
    """When it was first said."""
    since_step: int | None = None
    """The present attempt's first report: the rate, and so the time left, is measured from there."""
    since_time: AwareDatetime | None = None


class CheckpointStatus(StatusPart):
    """The newest checkpoint that verifies."""

    step: int
    path: Long | None = None
    resumed_from_step: int | None = None


class DataStatus(StatusPart):
    """What Check found in the data."""

    format: Name = ""
    sha256: Name = ""
    train_samples: int = 0
    validation_samples: int | None = None
    test_samples: int | None = None
    truncated: int = 0
    split: Message = ""


class ScoreStatus(StatusPart):
    """One model on the held-out examples; numbers as text."""

    loss: Name
    token_accuracy: Name
    exact_match: Name | None = None
    samples: int = 0


class EvaluationStatus(StatusPart):
    """Before and after."""

    base: ScoreStatus | None = None
    tuned: ScoreStatus | None = None


class ParityStatus(StatusPart):
    """Exported against trained; numbers as text."""

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
    """Where the model answers."""

    url: Long | None = None
    revision: Name | None = None
    """What answers: the model's revision and a digest of the servers' pod template."""
    previous_revision: Name | None = None
    """What answered before, kept to go back to."""
    rolled_back_revision: Name | None = None
    """What the job asks for, when that did not work and what answers is the revision before it."""
    ready_replicas: int = 0


class FailureStatus(StatusPart):
    """What went wrong last, and the way out. Absent when nothing stands in the way any more."""

    stage: Name
    reason: Name
    message: Message = ""
    rank: int | None = None
    suggestion: Message = ""
    pod: Name | None = None
    """Whose log tells more."""
    exit_code: int | None = None


class FineTuneJobStatus(StatusPart):
    """Everything the operator has to say about a job."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), keyed("type")] = ()
    observed_generation: int | None = None
    phase: Phase | None = None
    """For people and columns; derived from the conditions."""
    revision: Name | None = None
    """Hash of the training inputs; names the output folders."""
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
