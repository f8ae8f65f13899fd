"""`spec.workers`: how many pods train, with which resources, and where they may run."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.affinity import Affinity
from tunewright.api.v1alpha1.common import (
    DnsSubdomain,
    EnvVar,
    Items,
    NodeSelector,
    Quantity,
    ResourceRequirements,
    Spec,
    Tolerations,
    as_set,
    keyed,
)
from tunewright_contract.quantities import amount

# Extended resources of which one piece is one accelerator, hence one rank.
ACCELERATOR_RESOURCES = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/xe", "gpu.intel.com/i915", "habana.ai/gaudi")


class WorkersSpec(Spec):
    """The gang: all of it runs, or none of it."""

    replicas: Annotated[int, Field(ge=1, le=1024)] = 1
    """Pods of the gang. When changed, the gang saves, stops, and goes on with that number and the same examples per optimizer step."""
    accelerators_per_replica: Annotated[int, Field(ge=1, le=64)] | None = None
    """Accelerators of one pod, as a check on `resources.limits`, where they are counted when this is absent."""
    resources: ResourceRequirements = ResourceRequirements()
    """Of one pod."""
    accelerator_memory: Quantity | None = None
    """Memory of one accelerator, e.g. 80Gi; the operator's default when absent. Decides which ZeRO stage fits."""
    node_selector: NodeSelector = Field(default_factory=dict)
    tolerations: Tolerations = ()
    affinity: Affinity | None = None
    """Kubernetes' own affinity, passed through."""
    priority_class_name: DnsSubdomain | None = None
    runtime_class_name: DnsSubdomain | None = None
    scheduler_name: DnsSubdomain | None = None
    service_account_name: DnsSubdomain | None = None
    image_pull_secrets: Annotated[Items[DnsSubdomain], Field(max_length=16), as_set()] = ()
    image: Annotated[str, StringConstraints(min_length=1, max_length=1024, pattern=r"^[^\s]+$")] | None = None
    """Another trainer image than the operator's own."""
    env: Annotated[Items[EnvVar], Field(max_length=128), keyed("name")] = ()
    """Further environment of the training containers."""

    @property
    def accelerators(self) -> int:
        """Accelerators of one pod by `resources.limits`; 0 means: the processor."""
        return sum(int(amount(self.resources.limits.get(name, "0"))) for name in ACCELERATOR_RESOURCES)

    @property
    def processes(self) -> int:
        """Ranks of one pod: one per accelerator, one on the processor."""
        return max(1, self.accelerators)

    @property
    def world_size(self) -> int:
        """Ranks of the whole gang."""
        return self.replicas * self.processes
