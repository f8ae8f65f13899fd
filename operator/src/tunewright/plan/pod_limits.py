"""What a stage's pod may use: memory of the stages without an accelerator, and scratch space of every pod.

A limit bounds what a defect or hostile input can take from others on the node. It is generous, because one that is too low kills work
that the node could do. The user's own figures win.
"""

from collections.abc import Mapping

from tunewright.api.v1alpha1.common import ResourceRequirements
from tunewright.plan.quantities import quantity_of_bytes, whole
from tunewright_contract.quantities import amount
from tunewright_contract.reports import ModelFacts

_GIB = 2**30
_CHECK_REQUESTS = {"cpu": "500m", "memory": "1Gi"}
# The merged model in fp32 in torch, as ONNX, and once more in ONNX Runtime for the parity run. An estimate, so the limit is twice that.
_EXPORT_BYTES_PER_PARAMETER = 12
_EXPORT_LEAST = 2 * _GIB
_LEAST_MEMORY_LIMIT = 8 * _GIB  # of Check and Export: their libraries take 2, batches of data and logits the rest
_SCRATCH = "ephemeral-storage"
_SCRATCH_REQUEST, _SCRATCH_LIMIT = _GIB, 50 * _GIB  # logs, temporary files, caches of data

Resources = dict[str, dict[str, str]]


def check_resources(workers: ResourceRequirements) -> Resources:
    """Return Check's resources. No parameter is counted yet; Check holds no weights."""
    return with_scratch({"requests": dict(_CHECK_REQUESTS), "limits": {"memory": _memory_limit(0, workers)}})


def export_resources(workers: ResourceRequirements, facts: ModelFacts | None) -> Resources:
    """Return Export's resources, from the number of parameters."""
    model = facts.parameters * _EXPORT_BYTES_PER_PARAMETER if facts is not None else 0
    needed = max(_EXPORT_LEAST, -(-model // _GIB) * _GIB)
    limits = {"memory": _memory_limit(2 * needed + _LEAST_MEMORY_LIMIT // 2, workers), _SCRATCH: quantity_of_bytes(_SCRATCH_LIMIT + needed)}
    return with_scratch({"requests": {"cpu": "1", "memory": quantity_of_bytes(needed)}, "limits": limits})


def with_scratch(resources: Mapping[str, Mapping[str, str]]) -> Resources:
    """Add bounds of scratch space where the user has set none."""
    limits, requests = dict(resources.get("limits", {})), dict(resources.get("requests", {}))
    if _SCRATCH not in requests and _SCRATCH not in limits:
        requests[_SCRATCH] = quantity_of_bytes(_SCRATCH_REQUEST)
    if _SCRATCH not in limits:
        limits[_SCRATCH] = quantity_of_bytes(max(_SCRATCH_LIMIT, whole(requests[_SCRATCH])))
    return {name: values for name, values in (("limits", limits), ("requests", requests)) if values}


def _memory_limit(needed: int, workers: ResourceRequirements) -> str:
    """Return the larger of what is needed and what the user lets a worker have."""
    least = quantity_of_bytes(max(needed, _LEAST_MEMORY_LIMIT))
    return max(least, workers.limits.get("memory", "0"), key=amount)
