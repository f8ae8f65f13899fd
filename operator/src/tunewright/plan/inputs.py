"""The planner's input besides the job: referenced objects, the past of its stages, and the operator's defaults.

All are plain values. kube/ and local/ fill `References`; observe/ fills `Past`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar, cast

from tunewright.plan.ending import StageRecord
from tunewright.plan.rollout import PublishedModel, Rollout
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import CheckReport, EvaluationReport, ExportReport, Failure, StageReport, TrainReport
from tunewright_contract.stages import CHECK, EXPORT, SERVE, TRAIN, Shape, Stage

GIB = 2**30
R = TypeVar("R", bound=StageReport)


@dataclass(frozen=True, kw_only=True)
class Missing:
    """An object that the job names and that does not exist (yet)."""

    field: str  # the job's field, e.g. spec.data.train[0].source.pvc.claimName
    kind: str  # PersistentVolumeClaim, Secret, ConfigMap, Folder, …
    name: str
    message: str  # with the way out

    def __str__(self) -> str:
        return f"{self.field}: {self.kind} {self.name}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class References:
    """The objects that a job names, as found in the cluster or on this machine."""

    missing: tuple[Missing, ...] = ()
    folders: Mapping[str, str] = field(default_factory=dict)  # a `path` source as written -> absolute folder or file
    host_paths: bool = False  # True on one machine, where a `path` source can be mounted
    claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # an existing claim -> its access modes
    progress_url: str = ""  # address to which pods of this job post progress; empty: none
    served: PublishedModel | Missing | None = None  # the model that spec.serving.modelRef names; None: no other job


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """The operator's own settings, as far as planning needs them."""

    trainer_image: str = "tunewright/trainer:0.1.0"
    server_image: str = "tunewright/server:0.1.0"
    accelerator_memory_bytes: int = 80 * GIB  # of one accelerator, unless the job sets it
    output_size: str = "50Gi"  # of a created output claim, unless the job sets it


class StageState(StrEnum):
    """The state of a stage."""

    ABSENT = "Absent"
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


@dataclass(frozen=True, kw_only=True)
class StageOutcome(Generic[R]):
    """The outcome of one stage, read from its child objects."""

    state: StageState = StageState.ABSENT
    report: R | None = None  # when it succeeded
    failure: Failure | None = None  # when it failed, or why it makes no progress
    disposition: Disposition | None = None  # when it failed: what follows from the failure
    record: StageRecord | None = None  # its own containers have ended, and others keep its pods: end its Job, with this record
    disrupted: str = ""  # which pod of its newest Job was deleted from outside: recorded on the Job, because the pod disappears
    job_uid: str = ""  # of its newest Job
    settings: str = ""  # a digest of the pod settings of its newest Job; empty: not recorded
    retry: str = ""  # the retry that its newest Job was made for


@dataclass(frozen=True, kw_only=True)
class TrainOutcome(StageOutcome[TrainReport]):
    """Train, over all its attempts. A gang is restarted whole, as a new attempt."""

    attempts: int = 0  # Jobs that exist for this revision
    counted_failures: int = 0  # attempts that ended with Disposition.RETRY, since the user last requested a retry
    before: Failure | None = None  # the failure of the attempt before the newest
    replicas: int | None = None  # pods of the newest attempt
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of one pod of the newest attempt
    global_batch_size: int | None = None  # of the first attempt; see plan/resize.py
    zero_stage: int | None = None  # of the first attempt


@dataclass(frozen=True, kw_only=True)
class ServeOutcome(StageOutcome[ExportReport]):
    """The server. SUCCEEDED: all replicas of the Deployment's present template are ready, or were and more start now."""

    ready_replicas: int = 0
    replicas: int | None = None  # that the Deployment requests
    scaler: str = ""  # an autoscaler that has set `replicas`
    set_by: str = ""  # another field manager that has set `replicas`
    selector: str = ""  # of the Deployment's pods, as text
    url: str = ""
    rollout: Rollout = field(default_factory=Rollout)


_NOTHING_YET: Mapping[Shape, StageOutcome[Any]] = {
    Shape.POD: StageOutcome[Any](),
    Shape.GANG: TrainOutcome(),
    Shape.SERVER: ServeOutcome(),
}


@dataclass(frozen=True, kw_only=True)
class Past:
    """The past of this job's present revision: a mapping from the stages that have begun to their outcomes."""

    outcomes: Mapping[Stage, StageOutcome[Any]] = field(default_factory=dict)
    recorded_scores: EvaluationReport | None = None  # from the stored status, of an export whose own report is gone
    made_from: str = ""  # the revision of Jobs that were made from other inputs; empty: there is none
    claim_sizes: Mapping[str, str] = field(default_factory=dict)  # what the job's claims request, by their names
    queued: bool = False  # Kueue decides when its Jobs start, because the job names a queue or its namespace has a default one

    def __getitem__(self, stage: Stage) -> StageOutcome[Any]:
        """Return a stage's outcome. One that has not begun is `ABSENT`."""
        return self.outcomes.get(stage, _NOTHING_YET[stage.shape])

    def with_outcome(self, stage: Stage, outcome: StageOutcome[Any]) -> "Past":
        """Return the same past with another outcome of a stage."""
        return replace(self, outcomes={**self.outcomes, stage: outcome})

    @property
    def runs(self) -> bool:
        """Return whether pods of any stage run."""
        return self.serve.ready_replicas > 0 or any(outcome.state is StageState.RUNNING for outcome in self.outcomes.values())

    # The outcomes that rules use by name, with their types.
    @property
    def check(self) -> StageOutcome[CheckReport]:
        """Return Check's outcome."""
        return self[CHECK]

    @property
    def train(self) -> TrainOutcome:
        """Return the gang's outcome."""
        return cast("TrainOutcome", self[TRAIN])

    @property
    def export(self) -> StageOutcome[ExportReport]:
        """Return Export's outcome."""
        return self[EXPORT]

    @property
    def serve(self) -> ServeOutcome:
        """Return the server's outcome."""
        return cast("ServeOutcome", self[SERVE])
