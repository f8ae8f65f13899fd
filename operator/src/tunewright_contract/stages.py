"""The stages of a job, one row of facts each, in the order in which they run.

A stage's words (name, label, phase, condition, command) are spelled here and nowhere else. The rooms of the operator iterate over `STAGES`
and read facts; the shape of a stage determines its Kubernetes objects.
"""

from dataclasses import dataclass
from enum import StrEnum

from tunewright_contract.reports import CheckReport, ExportReport, StageReport, TrainReport

_TRAINER = ("python", "-m", "tunewright_trainer")


class Shape(StrEnum):
    """The kind of Kubernetes objects that run a stage."""

    POD = "pod"  # a Job of one pod; a failed pod is replaced
    GANG = "gang"  # an Indexed Job per attempt; a failed pod ends the attempt
    SERVER = "server"  # a Deployment and its Service; it continues until it is removed


@dataclass(frozen=True, kw_only=True)
class PodResources:
    """The default requests of a stage that runs on CPUs: cores, GiB, and bytes for each parameter of the model."""

    cpu: str
    memory_gib: int
    bytes_per_parameter: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Stage:
    """One row. Rows are compared by identity, and are the keys of the past and of the plan."""

    name: str  # in names of children, log commands and messages
    component: str  # the label `tunewright.io/component`, and the container's name
    phase: str  # status.phase while the job is at this stage
    condition: str  # the condition that is true once it has succeeded
    summary: str  # a description for `tunewright plan`; {precision} is replaced by the export's
    shape: Shape
    command: tuple[str, ...]
    settings: str  # the part of the specification with the settings of its pods
    settings_from: str = ""  # the part that has those which are absent in its own. `resources` are always its own
    report: type[StageReport] = StageReport  # the report of its pods on success; its `kind` is the name. A server has none
    predecessor: "Stage | None" = None  # it starts when this one has succeeded; None: at once
    suspendable: bool = False  # spec.suspend stops it
    resources: PodResources = PodResources(cpu="1", memory_gib=1)  # of a POD; the others take theirs from the job
    retries: int = 2  # of a POD
    grace_seconds: int = 10  # of a POD: from SIGTERM to SIGKILL
    keeps_output: bool = False  # of a POD: it mounts the claim with the checkpoints, not scratch space
    publishes: bool = False  # of a POD: it writes the finished model

    def __deepcopy__(self, _: object) -> "Stage":
        """Return the row itself: a copied plan has the same keys."""
        return self


CHECK = Stage(
    name="check",
    component="checker",
    phase="Checking",
    condition="Validated",
    summary="counts parameters, reads the data, tests the export",
    shape=Shape.POD,
    command=(*_TRAINER, "check"),
    settings="check",
    settings_from="workers",
    report=CheckReport,
    resources=PodResources(cpu="500m", memory_gib=1),  # it holds no weights
)
TRAIN = Stage(
    name="train",
    component="trainer",
    phase="Training",
    condition="Trained",
    summary="trains on all ranks",
    shape=Shape.GANG,
    # Not `torchrun -m tunewright_trainer train`: torchrun turns every failure into exit code 1, `launch` keeps the typed one.
    command=(*_TRAINER, "launch"),
    settings="workers",
    report=TrainReport,
    predecessor=CHECK,
    suspendable=True,
)
EXPORT = Stage(
    name="export",
    component="exporter",
    phase="Exporting",
    condition="Exported",
    summary="merge, ONNX {precision}, parity against torch",
    shape=Shape.POD,
    command=(*_TRAINER, "export"),
    settings="export",
    settings_from="workers",
    report=ExportReport,
    predecessor=TRAIN,
    suspendable=True,
    # The merged model in fp32 in torch, as ONNX, and once more in ONNX Runtime for the parity run.
    resources=PodResources(cpu="1", memory_gib=2, bytes_per_parameter=12),
    grace_seconds=30,  # to remove incomplete files; publishing is one rename
    keeps_output=True,
    publishes=True,
)
SERVE = Stage(
    name="serve",
    component="server",
    phase="Deploying",
    condition="Deployed",
    summary="answers requests",
    shape=Shape.SERVER,
    command=("python", "-m", "tunewright_server"),
    settings="serving",
    predecessor=EXPORT,
)

STAGES: tuple[Stage, ...] = (CHECK, TRAIN, EXPORT, SERVE)


def of_shape(shape: Shape) -> tuple[Stage, ...]:
    """Return the stages of a shape, in their order."""
    return tuple(stage for stage in STAGES if stage.shape is shape)


def followers(stage: Stage) -> tuple[Stage, ...]:
    """Return the stages that start when `stage` has succeeded."""
    return tuple(other for other in STAGES if other.predecessor is stage)
