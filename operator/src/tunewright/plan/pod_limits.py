"""Limits of pods: memory of the stages without an accelerator, and scratch space of every pod.

A limit protects other pods of the node from a defect or hostile input. It is generous, because a limit that is too low kills
legitimate work. The user's own figures have priority.
"""

from collections.abc import Mapping

from tunewright.api.v1alpha1.common import ResourceRequirements
from tunewright.plan.quantities import quantity_of_bytes, whole
from tunewright_contract.quantities import amount
from tunewright_contract.reports import ModelFacts
from tunewright_contract.stages import PodResources

_GIB = 2**30
_LEAST_MEMORY_LIMIT = 8 * _GIB  # of a stage on CPUs: its libraries take 2, batches of data and logits the rest
_SCRATCH = "ephemeral-storage"
_SCRATCH_REQUEST, _SCRATCH_LIMIT = _GIB, 50 * _GIB  # logs, temporary files, caches of data

Resources = dict[str, dict[str, str]]


def pod_resources(defaults: PodResources, workers: ResourceRequirements, facts: ModelFacts | None) -> Resources:
    """Return the resources of a stage with one pod, from its row and, once it is counted, the number of parameters.

    The memory limit is twice the estimated need.
    """
    model = facts.parameters * defaults.bytes_per_parameter if facts is not None else 0
    needed = max(defaults.memory_gib * _GIB, -(-model // _GIB) * _GIB)
    limits = {"memory": _memory_limit(2 * needed + _LEAST_MEMORY_LIMIT // 2, workers)}
    if defaults.bytes_per_parameter:  # it writes the model, and its temporary files are as large
        limits[_SCRATCH] = quantity_of_bytes(_SCRATCH_LIMIT + needed)
    return with_scratch({"requests": {"cpu": defaults.cpu, "memory": quantity_of_bytes(needed)}, "limits": limits})


def with_scratch(resources: Mapping[str, Mapping[str, str]]) -> Resources:
    """Add bounds of scratch space where the user has set none."""
    limits, requests = dict(resources.get("limits", {})), dict(resources.get("requests", {}))
    if _SCRATCH not in requests and _SCRATCH not in limits:
        requests[_SCRATCH] = quantity_of_bytes(_SCRATCH_REQUEST)
    if _SCRATCH not in limits:
        limits[_SCRATCH] = quantity_of_bytes(max(_SCRATCH_LIMIT, whole(requests[_SCRATCH])))
    return {name: values for name, values in (("limits", limits), ("requests", requests)) if values}


def _memory_limit(needed: int, workers: ResourceRequirements) -> str:
    """Return the larger of the stage's need and the user's limit for a worker."""
    least = quantity_of_bytes(max(needed, _LEAST_MEMORY_LIMIT))
    return max(least, workers.limits.get("memory", "0"), key=amount)
