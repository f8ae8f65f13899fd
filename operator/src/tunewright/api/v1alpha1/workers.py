"""`spec.workers`: number, resources and placement of the training pods."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tunewright.api.v1alpha1.common import Quantity
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright_contract.quantities import amount

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
