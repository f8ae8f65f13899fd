"""`FineTunePlan`: all decisions. Rendering it needs nothing else and cannot fail. Or what planning returns instead of a plan."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, cast

from tunewright.plan.ending import Ending
from tunewright.plan.inputs import Missing
from tunewright.plan.rollout import PublishedModel, Rollout
from tunewright_contract.capabilities.execution_providers import DEFAULT_EXECUTION_PROVIDERS
from tunewright_contract.smoke_test import SmokeTest
from tunewright_contract.stages import CHECK, EXPORT, SERVE, TRAIN, Stage
from tunewright_contract.trainer_config import TrainerConfig


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The FineTuneJob itself, for owner references and labels."""

    namespace: str
    name: str
    uid: str
    api_version: str = "tunewright.io/v1alpha1"
    kind: str = "FineTuneJob"


@dataclass(frozen=True, kw_only=True)
class Names:
    """The children's names: DNS labels of at most 52 characters, so that `-<index>-<5 random>` fits into 63."""

    config: str  # prefix of the name; the rest is a hash of the ConfigMap's content
    output: str  # the created claim
    stages: Mapping[Stage, str]  # of a gang: its headless Service; attempt N of the Job is `<name>-<N>`

    def __getitem__(self, stage: Stage) -> str:
        """Return the name of a stage's children."""
        return self.stages[stage]


@dataclass(frozen=True, kw_only=True)
class ClaimSource:
    """A PersistentVolumeClaim, and a folder or file in it."""

    claim: str
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """An absolute folder or file of this machine. Only where `References.host_paths` holds.

    `written` is the path in the job. It stays the same when the folder is moved, so the volume is named after it.
    """

    path: str
    written: str = field(default="", compare=False)


Source = ClaimSource | FolderSource


@dataclass(frozen=True, kw_only=True)
class DataVolume:
    """A source mounted read-only at `/workspace/data/<name>`; `DataFile.path` begins with `<name>/`."""

    name: str
    source: Source  # the folder that holds the file, never the file itself


@dataclass(frozen=True, kw_only=True)
class NewClaim:
    """The claim to create for checkpoints and models if the job names none."""

    size: str
    storage_class: str | None = None
    access_modes: tuple[str, ...] = ("ReadWriteOnce",)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """The claims for checkpoints (`output`) and for finished models (`models`), by name. They can be the same."""

    output_claim: str
    models_claim: str
    models_path: str = ""  # folder within the claim
    create: NewClaim | None = None  # for output_claim
    retain: bool = True  # a created claim stays when the job is deleted


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Why all pods of a stage must share one node; empty: they need not."""

    gang: str = ""
    servers: str = ""


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """Scheduling fields that are copied to pods unchanged (Kubernetes' own types)."""

    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    affinity: Mapping[str, Any] | None = None
    priority_class_name: str | None = None
    runtime_class_name: str | None = None
    scheduler_name: str | None = None
    service_account_name: str | None = None
    image_pull_secrets: tuple[str, ...] = ()
    topology_spread_constraints: tuple[Mapping[str, Any], ...] = ()  # without a selector: the stage's own pods


EnvValue = str | Mapping[str, Any]  # a plain value, or Kubernetes' `valueFrom`


@dataclass(frozen=True, kw_only=True)
class VolumeOption:
    """One place where a stage's container mounts a volume of the job."""

    name: str
    source: Mapping[str, Any]  # Kubernetes' volume source
    path: str
    sub_path: str = ""
    read_only: bool = True


@dataclass(frozen=True, kw_only=True)
class PodOptions:
    """All that a job sets for the pods of one stage. It is empty for a job that sets nothing."""

    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # without our defaults; the stage's plan has both
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, EnvValue] = field(default_factory=dict)
    volumes: tuple[VolumeOption, ...] = ()
    scheduling: Scheduling = Scheduling()


@dataclass(frozen=True, kw_only=True)
class SecretKey:
    """One key of a Secret in the job's namespace."""

    name: str
    key: str


@dataclass(frozen=True, kw_only=True)
class MemoryOption:
    """One way to divide the model states among the ranks, with its memory. All figures are bytes per rank."""

    name: str  # DDP, ZeRO-2, ZeRO-3 + optimizer on cpu, …
    zero_stage: int
    offload_optimizer: str
    offload_param: str
    weights: int
    gradients: int
    optimizer: int
    buffers: int  # communication buckets, gathered parameters: named constants of plan/memory/estimate.py
    activations: int  # an estimate; see plan/memory/estimate.py
    process: int  # of a process without a model
    host: int = 0  # of the pod's own memory, when states are offloaded to it
    refused: str = ""  # why this combination cannot be used; empty: it can

    @property
    def states(self) -> int:
        """Weights, gradients and optimizer."""
        return self.weights + self.gradients + self.optimizer

    @property
    def needed(self) -> int:
        """Return the peak: all parts that must fit at the same time."""
        return self.states + self.buffers + self.activations + self.process


@dataclass(frozen=True, kw_only=True)
class MemoryFit:
    """The ZeRO decision with its arithmetic. Bytes are per rank, of model states (weights, gradients, optimizer)."""

    zero_stage: int  # 0: plain DDP, no DeepSpeed
    offload_optimizer: str  # none | cpu | nvme
    offload_param: str
    world_size: int
    estimated_bytes_per_rank: int | None  # None until Check has counted the parameters
    available_bytes_per_rank: int | None  # of the accelerator, or of the worker's memory limit
    why: str  # one sentence with the numbers, for status and for people
    table: tuple[tuple[str, int], ...] = ()  # every stage/offload considered -> bytes per rank
    options: tuple[MemoryOption, ...] = ()  # the same options with every part; empty until parameters are counted
    needed_bytes_per_rank: int | None = None  # states, buffers, activations and process together, to compare with `available`
    fits: bool | None = None  # None until parameters are counted, and where no limit is known
    arithmetic: tuple[tuple[str, str], ...] = ()  # of the option decided on: term -> formula with its numbers


@dataclass(frozen=True, kw_only=True)
class PodPlan:
    """The Job of a stage with one pod."""

    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    backoff_limit: int = 2
    ending: Ending | None = None  # end the Job, because an injected container keeps its pod
    disrupted: str = ""  # recorded on the Job: which pod was deleted from outside
    settings: str = ""  # recorded on the Job; see plan/again.py
    retry: str = ""  # recorded on the Job
    replaces: bool = False  # the Job is deleted, and created again when it and its pods are gone


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """The gang. Attempts 0..`attempt` are rendered: earlier ones are history and stay."""

    attempt: int
    replicas: int  # pods
    processes_per_replica: int  # ranks per pod: accelerators per pod, at least 1
    global_batch_size: int  # examples per optimizer step: recorded on the Job, because it must not change with the number of replicas
    resources: Mapping[str, Mapping[str, str]]
    ending: tuple[int, Ending] | None = None  # end the Job of this attempt, because injected containers keep its pods
    disrupted: tuple[int, str] | None = None  # recorded on the Job of this attempt: which pod was deleted from outside
    counted_failures: int = 0  # of the attempts before the newest: recorded on the Job
    settings: str = ""  # recorded on the Job; see plan/again.py
    retry: str = ""  # recorded on the Job
    replaces: bool = False  # the newest Job waits; it is deleted, and created again when it and its pods are gone
    stopping: bool = False  # the newest attempt has another number of pods than the job: it saves and stops, and another follows
    termination_grace_seconds: int = 300
    shared_memory: str = "2Gi"  # /dev/shm


@dataclass(frozen=True, kw_only=True)
class ServePlan:
    """The server Deployment and its Service."""

    replicas: int
    model: PublishedModel | Missing  # missing: another job's model, not exported yet; the present server continues
    model_name: str
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    execution_providers: tuple[str, ...] = DEFAULT_EXECUTION_PROVIDERS
    max_slots: int = 16
    max_length: int | None = None  # None: the model's context length
    api_key: SecretKey | None = None  # None: clients need no key
    smoke_test: SmokeTest | None = None
    progress_deadline_seconds: int = 900
    drain_seconds: int = 300
    retry: str = ""
    scaled_by_others: bool = False  # an autoscaler has set `replicas`, so it is not written
    rollout: Rollout = field(default_factory=Rollout)


StagePlan = PodPlan | TrainPlan | ServePlan


@dataclass(frozen=True, kw_only=True)
class Objection:
    """Why a change was refused. The work before the change continues."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class FineTunePlan:
    """The plan of a job. `stages` has those that are needed now; nothing is rendered for the others."""

    owner: Owner
    names: Names
    revision: str
    config: TrainerConfig
    trainer_image: str
    server_image: str
    model_source: Source | None  # None: the hub
    data_volumes: tuple[DataVolume, ...]
    storage: Storage
    fit: MemoryFit
    pods: Mapping[Stage, PodOptions] = field(default_factory=dict)  # of every stage, also of one that is not needed now
    placement: Placement = Placement()
    hub_token: SecretKey | None = None
    hub_access: bool = False  # True: pods may leave the cluster to reach the hub
    progress_url: str = ""
    pass_labels: Mapping[str, str] = field(default_factory=dict)  # queue labels, copied to Jobs
    pass_annotations: Mapping[str, str] = field(default_factory=dict)  # topology requests, copied to the gang
    suspend: bool = False
    active_deadline_seconds: int | None = None
    progress_deadline_seconds: int = 1800
    stages: Mapping[Stage, StagePlan] = field(default_factory=dict)
    objection: Objection | None = None  # to a change; the plan has the running work unchanged
    lacking: tuple[Missing, ...] = ()  # missing objects: running work continues without them, the next stage waits

    @cached_property
    def config_text(self) -> str:
        """Return the trainer's configuration as JSON: the same text for the same configuration. The ConfigMap is named after it."""
        return json.dumps(self.config.model_dump(mode="json"), indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def options(self, stage: Stage) -> PodOptions:
        """Return what the job sets for a stage's pods."""
        return self.pods.get(stage, PodOptions())

    # The plans that rules use by name, with their types. None: that stage is not needed now.
    @property
    def check(self) -> PodPlan | None:
        """Return the plan of Check."""
        return cast("PodPlan | None", self.stages.get(CHECK))

    @property
    def train(self) -> TrainPlan | None:
        """Return the plan of the gang."""
        return cast("TrainPlan | None", self.stages.get(TRAIN))

    @property
    def export(self) -> PodPlan | None:
        """Return the plan of Export."""
        return cast("PodPlan | None", self.stages.get(EXPORT))

    @property
    def serve(self) -> ServePlan | None:
        """Return the plan of the server."""
        return cast("ServePlan | None", self.stages.get(SERVE))


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """Why a job, or a change of it, cannot be carried out: a stable CamelCase `reason`, the path of the field, and the way out."""

    reason: str
    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


@dataclass(frozen=True)
class ReferencesMissing:
    """Objects that the job names and that do not exist yet. Planning succeeds when they do."""

    missing: tuple[Missing, ...]
    reason: ClassVar[str] = "ReferencesMissing"

    def __str__(self) -> str:
        return "; ".join(f"{item.field}: {item.message}" for item in self.missing)
