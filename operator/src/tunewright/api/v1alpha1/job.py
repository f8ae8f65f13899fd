"""The FineTuneJob: the whole `spec`, metadata, and `parse`, which reads raw JSON into typed values."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from tunewright.api.v1alpha1.common import DnsLabel, Items, Spec
from tunewright.api.v1alpha1.data import DataSpec
from tunewright.api.v1alpha1.deepspeed import DeepSpeedSpec
from tunewright.api.v1alpha1.evaluation import EvaluationSpec
from tunewright.api.v1alpha1.method import MethodSpec
from tunewright.api.v1alpha1.model import ModelSpec
from tunewright.api.v1alpha1.output import OutputSpec
from tunewright.api.v1alpha1.pod_settings import PodSettings, WorkersSpec
from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.api.v1alpha1.training import TrainingSpec
from tunewright_contract.capabilities.tasks import TaskName
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.stages import TRAIN, Stage

GROUP = "tunewright.io"
VERSION = "v1alpha1"
API_VERSION = "tunewright.io/v1alpha1"
KIND = "FineTuneJob"

_ALWAYS_OWN = {"resources"}
_OF_ALL_STAGES = {"image_pull_secrets"}  # one registry usually has all images

Seconds = Annotated[int, Field(ge=1, le=2**31 - 1)]


class FineTuneJobSpec(Spec):
    """The desired state of a FineTuneJob."""

    task: TaskName
    """The task of the model. It determines the model's head and the required columns of the examples."""
    model: ModelSpec
    """The base model."""
    data: DataSpec
    """The examples to train, validate and test on."""
    method: MethodSpec = MethodSpec()
    """The training method, the weights to train, and quantisation."""
    training: TrainingSpec = TrainingSpec()
    """Duration, learning rate, batch sizes, checkpoints."""
    deepspeed: DeepSpeedSpec | None = None
    """DeepSpeed ZeRO. Absent: plain DDP."""
    check: PodSettings | None = None
    """Pods of the stage Check. What is absent here comes from spec.workers, apart from `resources` and placement by other pods."""
    workers: WorkersSpec = WorkersSpec()
    """Number, resources and placement of the training pods."""
    evaluation: EvaluationSpec = EvaluationSpec()
    """Comparison of the base model with the tuned model."""
    export: PodSettings | None = None
    """Pods of the stage Export. What is absent here comes from spec.workers, apart from `resources` and placement by other pods."""
    output: OutputSpec = OutputSpec()
    """The exported model, and its storage."""
    serving: ServingSpec | None = None
    """The model server. Absent: the job ends after the export."""
    suspend: bool = False
    """true: save, stop and release all resources. false: resume from the last checkpoint."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds after the end of the job until it is deleted."""
    active_deadline_seconds: Seconds | None = None
    """Seconds until a stage that has not ended fails."""
    progress_deadline_seconds: Seconds = 1800
    """Seconds without a training step until status has the reason NoProgress or NoReports. It ends no process; training.ddpTimeout does."""
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a failed gang restarts from its last checkpoint."""

    @property
    def world_size(self) -> int:
        """Ranks of the gang."""
        return self.workers.world_size

    def pod_settings(self, stage: Stage) -> PodSettings:
        """Return the settings of a stage's pods, with those that it takes from another part of the specification."""
        own = self.written_settings(stage) or PodSettings()
        written: PodSettings = getattr(self, stage.settings_from or TRAIN.settings)
        # The anti-affinity of a gang on the pod before it would keep ranks off that pod's node, for minutes after its end.
        others = written.without_neighbours()
        shared = set(PodSettings.model_fields) - _ALWAYS_OWN if stage.settings_from else _OF_ALL_STAGES
        return own.model_copy(update={name: getattr(others, name) for name in shared if getattr(own, name) is None})

    def written_settings(self, stage: Stage) -> PodSettings | None:
        """Return the part of the specification with the settings of a stage's pods. None: it is absent."""
        settings: PodSettings | None = getattr(self, stage.settings)
        return settings

    def learning_rate(self) -> float:
        """Return training.learningRate, or the tuner's default if it is absent."""
        if self.training.learning_rate is not None:
            return self.training.learning_rate
        return TUNERS[self.method.tuner].learning_rate

    def gradient_accumulation_steps(self) -> int:
        """Return training.gradientAccumulationSteps, or the value that globalBatchSize requires, or 1. E209 has checked that it divides."""
        training = self.training
        if training.gradient_accumulation_steps is not None:
            return training.gradient_accumulation_steps
        if training.global_batch_size is None:
            return 1
        return max(1, training.global_batch_size // (training.per_device_train_batch_size * self.world_size))


class ObjectMeta(Spec):
    """Kubernetes' own metadata. Tunewright uses only name, namespace, uid, generation, labels and annotations."""

    name: DnsLabel
    generate_name: str | None = None
    namespace: DnsLabel = "default"
    uid: str = ""
    generation: int = 0
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    resource_version: str | None = None
    self_link: str | None = None
    finalizers: Items[str] = ()
    owner_references: Items[dict[str, JsonValue]] = ()
    managed_fields: Items[dict[str, JsonValue]] = ()


class FineTuneJob(Spec):
    """Fine-tunes a base model on examples, exports it to ONNX and serves it."""

    api_version: Literal["tunewright.io/v1alpha1"]
    kind: Literal["FineTuneJob"]
    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: dict[str, JsonValue] | None = None
    """Raw, because decisions use the children and never this field."""

    def served_model_name(self) -> str:
        """Return the name that clients send as `model`."""
        name = self.spec.serving.served_model_name if self.spec.serving else None
        return name or self.metadata.name

    def served_job(self) -> str | None:
        """Return the name of the other job whose model is served. None: this job's own model, or no server."""
        serving = self.spec.serving
        name = serving.model_ref.name if serving and serving.model_ref else None
        return name if name != self.metadata.name else None


def parse(raw: Mapping[str, Any]) -> FineTuneJob:
    """Read a FineTuneJob from raw JSON: types and bounds only, camelCase only.

    Raises `pydantic.ValidationError`. `tunewright.api.admission.admit` checks the rules between fields.
    """
    return FineTuneJob.model_validate(raw, by_alias=True, by_name=False)
