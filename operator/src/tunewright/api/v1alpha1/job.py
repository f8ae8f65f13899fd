"""The FineTuneJob itself: `spec` put together, metadata, and the way from raw JSON to typed values."""

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
from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.api.v1alpha1.training import TrainingSpec
from tunewright.api.v1alpha1.workers import WorkersSpec
from tunewright_contract.capabilities.tasks import TaskName
from tunewright_contract.capabilities.tuners import TUNERS

GROUP = "tunewright.io"
VERSION = "v1alpha1"
API_VERSION = "tunewright.io/v1alpha1"
KIND = "FineTuneJob"

Seconds = Annotated[int, Field(ge=1, le=2**31 - 1)]


class ElasticitySpec(Spec):
    """Between which numbers of pods a job may go on."""

    min_replicas: Annotated[int, Field(ge=1, le=1024)]
    max_replicas: Annotated[int, Field(ge=1, le=1024)]
    micro_batch_sizes: Annotated[Items[Annotated[int, Field(ge=1, le=65536)]], Field(max_length=32)] = ()
    max_global_batch_size: Annotated[int, Field(ge=1, le=2**24)] | None = None


class FineTuneJobSpec(Spec):
    """What a person asks for."""

    task: TaskName
    """What the model is for; fixes its head and what the examples must hold."""
    model: ModelSpec
    """The base model."""
    data: DataSpec
    """The examples."""
    method: MethodSpec = MethodSpec()
    """Which weights learn, and how."""
    training: TrainingSpec = TrainingSpec()
    """How long, how fast."""
    deepspeed: DeepSpeedSpec | None = None
    """ZeRO; plain DDP when absent."""
    workers: WorkersSpec = WorkersSpec()
    """How many pods train, with what."""
    elasticity: ElasticitySpec | None = None
    evaluation: EvaluationSpec = EvaluationSpec()
    """How base and tuned model are compared."""
    output: OutputSpec = OutputSpec()
    """What is exported, and where it is kept."""
    serving: ServingSpec | None = None
    """The server; the job ends with its artefacts when absent."""
    suspend: bool = False
    """Stop after saving, hold no resources, go on from there when false again."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Delete the job so long after it has ended."""
    active_deadline_seconds: Seconds | None = None
    """Fail a stage that takes longer."""
    progress_deadline_seconds: Seconds = 1800
    """Say NoProgress when training makes no step for so long. Nothing is ended: ranks that wait in vain give up by training.ddpTimeout."""
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """How often a failed gang is started again from its last checkpoint."""

    @property
    def world_size(self) -> int:
        """Ranks of the gang."""
        return self.workers.world_size

    def learning_rate(self) -> float:
        """Return training.learningRate, or what fits the tuner when it is absent."""
        if self.training.learning_rate is not None:
            return self.training.learning_rate
        return TUNERS[self.method.tuner].learning_rate

    def gradient_accumulation_steps(self) -> int:
        """Return training.gradientAccumulationSteps, or what globalBatchSize asks for, or 1. E209 has seen to it that it divides."""
        training = self.training
        if training.gradient_accumulation_steps is not None:
            return training.gradient_accumulation_steps
        if training.global_batch_size is None:
            return 1
        return max(1, training.global_batch_size // (training.per_device_train_batch_size * self.world_size))


class ObjectMeta(Spec):
    """Kubernetes' own metadata. Only name, namespace, uid, generation, labels and annotations mean something here."""

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
    """From a model and examples to a served model."""

    api_version: Literal["tunewright.io/v1alpha1"]
    kind: Literal["FineTuneJob"]
    metadata: ObjectMeta
    spec: FineTuneJobSpec
    status: dict[str, JsonValue] | None = None
    """Raw: decisions are made from children, never from here."""

    def served_model_name(self) -> str:
        """Return what clients put into `model`."""
        name = self.spec.serving.served_model_name if self.spec.serving else None
        return name or self.metadata.name

    def served_job(self) -> str | None:
        """Return the name of the other job whose model is to be served; None: this one's own is, or none."""
        serving = self.spec.serving
        name = serving.model_ref.name if serving and serving.model_ref else None
        return name if name != self.metadata.name else None


def parse(raw: Mapping[str, Any]) -> FineTuneJob:
    """Read a FineTuneJob from raw JSON: types and bounds only, camelCase only.

    Raises `pydantic.ValidationError`. Rules between fields are `tunewright.api.admission.admit`'s.
    """
    return FineTuneJob.model_validate(raw, by_alias=True, by_name=False)
