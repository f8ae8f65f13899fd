"""The settings of a stage's pods: `spec.check`, `spec.workers`, `spec.export` and `spec.serving` have all of these fields.

An absent field is None, and differs from an empty one. Check and Export take absent fields from another part, which the stage table names,
apart from those that place a pod by other pods. `spec.workers` also has the number of training pods.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import DnsSubdomain, Items, LabelKey, LabelValue, Quantity, ResourceRequirements, Spec, keyed
from tunewright.api.v1alpha1.pod_inputs import EnvVar, PodVolume, VolumeMount
from tunewright.api.v1alpha1.scheduling import Affinity, TopologySpreadConstraint
from tunewright_contract.quantities import amount

AnnotationValue = Annotated[str, StringConstraints(max_length=4096)]


class Toleration(Spec):
    """Kubernetes' own toleration."""

    key: LabelKey | None = None
    """Key of the taint. Absent: every taint; then `operator` is Exists."""
    operator: Literal["Exists", "Equal"] | None = None
    """Exists tolerates each value, Equal this `value`. Absent: Equal."""
    value: LabelValue | None = None
    """Value of the taint, for the operator Equal."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint. Absent: every effect."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds until eviction, for the effect NoExecute. Absent: no eviction."""


class PullSecret(Spec):
    """A Secret for a registry, as in a pod."""

    name: DnsSubdomain
    """Name of the Secret."""


class PodSettings(Spec):
    """Settings of the pods of one stage."""

    resources: ResourceRequirements = ResourceRequirements()
    """Resources of one pod. Each amount replaces the planned one of the same name."""
    pod_labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = None
    """Additional labels of the pods, such as a cost centre. Labels of Kubernetes and of Tunewright are refused."""
    pod_annotations: Annotated[dict[LabelKey, AnnotationValue], Field(max_length=32)] | None = None
    """Additional annotations of the pods, such as `sidecar.istio.io/inject: "false"`."""
    node_selector: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] | None = None
    """Labels that a node must have."""
    tolerations: Annotated[Items[Toleration], Field(max_length=32)] | None = None
    """Taints that the pods tolerate."""
    affinity: Affinity | None = None
    """Kubernetes' own affinity of the pods."""
    priority_class_name: DnsSubdomain | None = None
    """Name of the pods' PriorityClass."""
    runtime_class_name: DnsSubdomain | None = None
    """Name of the pods' RuntimeClass."""
    scheduler_name: DnsSubdomain | None = None
    """Name of the scheduler. Absent: the cluster's default scheduler."""
    service_account_name: DnsSubdomain | None = None
    """ServiceAccount of the pods, which get no token of it. Absent: default."""
    topology_spread_constraints: Annotated[Items[TopologySpreadConstraint], Field(max_length=16)] | None = None
    """How the pods of this stage spread over nodes or zones. Absent: servers over nodes, if there is room; others anywhere."""
    image_pull_secrets: Annotated[Items[DnsSubdomain | PullSecret], Field(max_length=16)] | None = None
    """Secrets for the registry of the image: names, or objects such as {name: registry}. Absent: those of spec.workers."""
    env: Annotated[Items[EnvVar], Field(max_length=128), keyed("name")] | None = None
    """Additional environment variables of the container."""
    volumes: Annotated[Items[PodVolume], Field(max_length=16), keyed("name")] | None = None
    """Additional volumes: Secrets, ConfigMaps and claims of the namespace, and empty folders."""
    volume_mounts: Annotated[Items[VolumeMount], Field(max_length=32)] | None = None
    """Where the container mounts them."""

    def pull_secrets(self) -> tuple[str, ...]:
        """Return the names in `imagePullSecrets`, however they are written."""
        return tuple(item if isinstance(item, str) else item.name for item in self.image_pull_secrets or ())

    def without_neighbours(self) -> "PodSettings":
        """Return them without the fields that place a pod by other pods: affinity to pods, anti-affinity, and spread."""
        nodes = self.affinity.node_affinity if self.affinity else None
        affinity = Affinity(node_affinity=nodes) if nodes else None
        return self.model_copy(update={"affinity": affinity, "topology_spread_constraints": None})


# Extended resources whose unit is one accelerator, and therefore one rank.
ACCELERATOR_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/xe", "gpu.intel.com/i915", "habana.ai/gaudi")


class WorkersSpec(PodSettings):
    """The gang of training pods. All of them start together."""

    replicas: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of pods. On a change, the gang saves, stops, and resumes with the new number and the same examples per optimizer step."""
    accelerators_per_replica: Annotated[int, Field(ge=1, le=64)] | None = None
    """Number of accelerators of one pod, which must equal those in `resources.limits`. Absent: `resources.limits` alone decides."""
    accelerator_memory: Quantity | None = None
    """Memory of one accelerator, such as 80Gi, to choose the ZeRO stage. Absent: the operator's default."""
    image: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\s]+$")] | None = None
    """Trainer image. Absent: the operator's default."""

    @property
    def accelerators(self) -> int:
        """Accelerators of one pod by `resources.limits`. 0: it trains on the processor."""
        return sum(int(amount(self.resources.limits.get(name, "0"))) for name in ACCELERATOR_RESOURCES)

    @property
    def processes(self) -> int:
        """Ranks of one pod: one per accelerator, one on the processor."""
        return max(1, self.accelerators)

    @property
    def world_size(self) -> int:
        """Ranks of the whole gang."""
        return self.replicas * self.processes
