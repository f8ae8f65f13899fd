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

    `Reconciling`, `Stalled` (kstatus), `ChangeRefused`, `ModelRegressed` and `ObjectsAltered` exist only while true.
    """

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    CHANGE_REFUSED = "ChangeRefused"
    MODEL_REGRESSED = "ModelRegressed"
    OBJECTS_ALTERED = "ObjectsAltered"


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
    WRITE_ALTERED = "WriteAltered"


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
    """Name of the condition: Ready, Reconciling, Stalled, Suspended, ChangeRefused, ModelRegressed, or that of a stage."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    """Cause in one word."""
    message: Annotated[str, StringConstraints(max_length=32768)] = ""
    """Cause in words, with the way out."""
    observed_generation: int | None = None
    """Generation of the job that the condition describes; a counter."""
    last_transition_time: AwareDatetime | None = None
    """Time of the last change of `status`."""


class PlanStatus(StatusPart):
    """The plan: ZeRO stage, offload and memory, with the arithmetic."""

    zero_stage: int
    """Number of the ZeRO stage. 0: plain DDP."""
    offload: Name = "none"
    """What is offloaded to host memory or NVMe."""
    workers: int | None = None
    """Number of training pods."""
    world_size: int
    """Number of ranks."""
    estimated_bytes_per_rank: int | None = None
    """Bytes of model states, buffers, activations and process together."""
    available_bytes_per_rank: int | None = None
    """Bytes of the accelerator's memory, or of the worker's memory limit."""
    why: Message = ""
    """The estimate in words: why this stage, and what keeps pods on one node."""


class ProgressStatus(StatusPart):
    """Progress of training, with Kubeflow Trainer's field names."""

    step: int = 0
    """Highest optimizer step so far."""
    max_steps: int = 0
    """Optimizer steps of the whole training."""
    progress_percentage: Annotated[int, Field(ge=0, le=100)] = 0
    """Share of the steps, in percent. 100 does not mean that training has succeeded."""
    estimated_remaining_seconds: int | None = None
    """Seconds until the last step, estimated from the present attempt."""
    loss: Name | None = None
    """A decimal number as text, because Kubernetes APIs avoid floating-point numbers."""
    eval_loss: Name | None = None
    """Loss on the validation data, as text."""
    learning_rate: Name | None = None
    """Present learning rate, as text."""
    tokens_per_second: Name | None = None
    """Tokens per second of all ranks, as text."""
    last_updated_time: AwareDatetime | None = None
    """Time of the last report's arrival, by the operator's clock."""
    reported_step: int | None = None
    """The last reported step. It is below `step` while an attempt repeats lost steps."""
    step_time: AwareDatetime | None = None
    """Time of the first report of this step."""
    since_step: int | None = None
    """Step of the current attempt's first report, from which the rate and the time left are computed."""
    since_time: AwareDatetime | None = None
    """Time of the report of `sinceStep`."""


class CheckpointStatus(StatusPart):
    """The newest checkpoint that verifies."""

    step: int
    """Optimizer step of the checkpoint."""
    path: Long | None = None
    """Folder in the claim for checkpoints."""
    resumed_from_step: int | None = None
    """Optimizer step from which the present attempt resumed."""


class DataStatus(StatusPart):
    """Result of Check for the data."""

    format: Name = ""
    """Format of the examples, named or detected."""
    sha256: Name = ""
    """SHA-256 of the examples."""
    train_samples: int = 0
    """Number of examples to train on."""
    validation_samples: int | None = None
    """Number of examples for the loss during training."""
    test_samples: int | None = None
    """Number of examples for the final comparison."""
    truncated: int = 0
    """Number of examples that are longer than data.maxLength."""
    split: Message = ""
    """How validation and test data were chosen."""
    labels: Message | None = None
    """Labels of train, with the number of examples of the most frequent ones; or types of entities, with the number of entities."""


class ScoreStatus(StatusPart):
    """Scores of one model on the held-out examples. Numbers are text."""

    loss: Name
    """Mean loss per token or label, as text."""
    token_accuracy: Name | None = None
    """Share of tokens that the model ranks first."""
    exact_match: Name | None = None
    """Share of answers that equal the reference."""
    accuracy: Name | None = None
    """Share of texts that get the right label, or all their labels and no other, or of words that get the right tag."""
    f1_macro: Name | None = None
    """Mean over the labels of their F1."""
    f1_micro: Name | None = None
    """F1 over all labels of all texts together, where a text can have several."""
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
    """The same for pairs of words."""
    rouge_l: Name | None = None
    """The same for the longest common sequence in the text."""
    rouge_lsum: Name | None = None
    """The same for the longest common sequence in each line."""
    samples: int = 0
    """Number of examples."""


class EvaluationStatus(StatusPart):
    """Scores of the base and the tuned model."""

    base: ScoreStatus | None = None
    """Scores of the base model."""
    tuned: ScoreStatus | None = None
    """Scores of the tuned model."""


class ParityStatus(StatusPart):
    """Comparison of the exported with the trained model. Numbers are text."""

    max_logit_difference: Name
    """Largest absolute difference of a logit."""
    mean_kl: Name
    """Mean Kullback-Leibler divergence of the probabilities, in nats."""
    top1_agreement: Name
    """Share of positions where both models rank the same token or label first."""
    positions: int
    """Number of compared positions."""


class ArtifactStatus(StatusPart):
    """One exported model folder."""

    uri: Long
    """Claim and folder of the model."""
    digest: Name
    """SHA-256 over the files of the folder."""
    precision: Name
    """Number type of the weights."""
    bytes: int | None = None
    """Size of the folder in bytes."""
    parity: ParityStatus | None = None
    """Comparison with the trained model."""


class ServingStatus(StatusPart):
    """State of the model server."""

    url: Long | None = None
    """Address of the server within the cluster."""
    revision: Name | None = None
    """Revision that serves: the model's revision and a digest of the server's pod template."""
    previous_revision: Name | None = None
    """Revision that served before, kept for a rollback."""
    rolled_back_revision: Name | None = None
    """Revision that failed and was rolled back."""
    ready_replicas: int = 0
    """Number of server pods that answer."""
    selector: Long | None = None
    """Labels of the server pods, which autoscalers read."""


class FailureStatus(StatusPart):
    """The last failure and how to resolve it. Absent after the problem is resolved."""

    stage: Name
    """Component that failed, or `planner` before any pod exists."""
    reason: Name
    """Cause in one word."""
    message: Message = ""
    """Cause in words."""
    rank: int | None = None
    """Rank of the process that failed."""
    suggestion: Message = ""
    """Way out."""
    pod: Name | None = None
    """Pod whose log has details."""
    exit_code: int | None = None
    """Exit code of the container; a number of the contract with the trainer."""


class DisruptionsStatus(StatusPart):
    """How often the present stage was run again because its pods were deleted, evicted or lost. It has no limit."""

    stage: Name
    """Component of the stage."""
    count: int
    """Number of Jobs of this stage that were disrupted."""
    last_job: Name
    """UID of the last of them."""


class FineTuneJobStatus(StatusPart):
    """The observed state of a FineTuneJob."""

    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), keyed("type")] = ()
    """Conditions by the rules of kstatus: Ready; Reconciling and Stalled while they are true; then one per stage."""
    observed_generation: int | None = None
    """Generation of the job that this status describes; a counter. -1: the operator has not seen the job yet."""
    phase: PhaseWord | None = None
    """Summary in one word, derived from the conditions."""
    revision: Name | None = None
    """Hash of the training inputs, used in the names of output folders."""
    reason: Name | None = None
    """Reason of the condition Ready."""
    message: Message | None = None
    """Message of the condition Ready."""
    attempts: int | None = None
    """Number of gangs that were started."""
    running_since: AwareDatetime | None = None
    """Time since when the operator has seen the present attempt of training run, by the operator's clock."""
    failure: FailureStatus | None = None
    """The last failure and how to resolve it. Absent after the problem is resolved."""
    disruptions: DisruptionsStatus | None = None
    """How often the present stage was run again because its pods were deleted, evicted or lost."""
    plan: PlanStatus | None = None
    """ZeRO stage, offload and memory."""
    progress: ProgressStatus | None = None
    """Progress of training."""
    checkpoint: CheckpointStatus | None = None
    """The newest checkpoint that verifies."""
    data: DataStatus | None = None
    """Result of Check for the data."""
    evaluation: EvaluationStatus | None = None
    """Scores of the base and the tuned model."""
    artifacts: Annotated[tuple[ArtifactStatus, ...], Field(max_length=16)] = ()
    """Exported model folders."""
    serving: ServingStatus | None = None
    """State of the model server."""
    warnings: Annotated[tuple[Message, ...], Field(max_length=32)] = ()
    """What does not stop the job and may need attention."""

    def wire(self) -> dict[str, JsonValue]:
        """Return the JSON object, without absent fields."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)
