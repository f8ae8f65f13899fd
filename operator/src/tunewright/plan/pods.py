"""What each stage's pods get: the job's own options as Kubernetes' objects, and limits of memory and scratch space.

A limit protects other pods of the node from a defect or hostile input. It is generous, because a limit that is too low kills
legitimate work. The user's own figures have priority.
"""

from collections.abc import Mapping
from typing import Any

from tunewright.api.v1alpha1.common import ResourceRequirements, Spec
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright.plan.plan_types import PodOptions, Scheduling, VolumeOption
from tunewright_contract import stages
from tunewright_contract.quantities import amount, quantity_of_bytes
from tunewright_contract.reports import ModelFacts
from tunewright_contract.stages import PodResources, Stage

_GIB = 2**30
_LEAST_MEMORY_LIMIT = 8 * _GIB  # of a stage on CPUs: its libraries take 2, batches of data and logits the rest
_SCRATCH = "ephemeral-storage"
_SCRATCH_REQUEST, _SCRATCH_LIMIT = _GIB, 50 * _GIB  # logs, temporary files, caches of data

Resources = dict[str, dict[str, str]]


def pod_resources(defaults: PodResources, own: ResourceRequirements, workers: ResourceRequirements, facts: ModelFacts | None) -> Resources:
    """Return the resources of a stage with one pod, from its row and, once it is counted, the number of parameters.

    The memory limit is twice the estimated need. `own` are the stage's amounts in the job; they replace the planned ones.
    """
    model = facts.parameters * defaults.bytes_per_parameter if facts is not None else 0
    needed = max(defaults.memory_gib * _GIB, -(-model // _GIB) * _GIB)
    scratch = _SCRATCH_LIMIT + (needed if defaults.bytes_per_parameter else 0)  # it writes the model, and its temporary files are as large
    return _replaced(
        own,
        requests={"cpu": defaults.cpu, "memory": quantity_of_bytes(needed), _SCRATCH: quantity_of_bytes(_SCRATCH_REQUEST)},
        limits={"memory": _memory_limit(2 * needed + _LEAST_MEMORY_LIMIT // 2, workers), _SCRATCH: quantity_of_bytes(scratch)},
    )


def with_scratch(own: ResourceRequirements) -> Resources:
    """Add bounds of scratch space where the job has none."""
    return _replaced(own, requests={_SCRATCH: quantity_of_bytes(_SCRATCH_REQUEST)}, limits={_SCRATCH: quantity_of_bytes(_SCRATCH_LIMIT)})


def _replaced(own: ResourceRequirements, *, requests: Mapping[str, str], limits: Mapping[str, str]) -> Resources:
    """Replace planned amounts by the job's, name by name.

    A limit without a request is both, as in Kubernetes. A request above the planned limit raises that limit.
    """
    wanted = {**{name: value for name, value in requests.items() if name not in own.limits}, **own.requests}
    most = {name: max(value, wanted.get(name, "0"), key=amount) for name, value in limits.items()}
    return {"limits": {**most, **own.limits}, "requests": wanted}


def _memory_limit(needed: int, workers: ResourceRequirements) -> str:
    """Return the larger of the stage's need and the user's limit for a worker."""
    least = quantity_of_bytes(max(needed, _LEAST_MEMORY_LIMIT))
    return max(least, workers.limits.get("memory", "0"), key=amount)


WRITABLE = "emptyDir"  # volumes of other kinds are mounted read-only


def pod_options(spec: FineTuneJobSpec) -> dict[Stage, PodOptions]:
    """Return the options of every stage."""
    return {stage: options_of(spec, stage) for stage in stages.STAGES}


def options_of(spec: FineTuneJobSpec, stage: Stage) -> PodOptions:
    """Return the options of one stage."""
    settings = spec.pod_settings(stage)
    return PodOptions(
        resources=settings.resources.wire(),
        labels=dict(settings.pod_labels or {}),
        annotations=dict(settings.pod_annotations or {}),
        env={variable.name: _wire(variable.value_from) if variable.value_from else variable.value for variable in settings.env or ()},
        volumes=_volumes(settings),
        scheduling=_scheduling(settings),
    )


def _volumes(settings: PodSettings) -> tuple[VolumeOption, ...]:
    sources = {volume.name: _wire(volume, exclude={"name"}) for volume in settings.volumes or ()}
    return tuple(
        VolumeOption(
            name=mount.name,
            source=sources[mount.name],
            path=mount.mount_path,
            sub_path=mount.sub_path or "",
            read_only=mount.read_only if mount.read_only is not None else WRITABLE not in sources[mount.name],
        )
        for mount in settings.volume_mounts or ()
    )


def _scheduling(settings: PodSettings) -> Scheduling:
    return Scheduling(
        node_selector=dict(settings.node_selector or {}),
        tolerations=tuple(_wire(toleration) for toleration in settings.tolerations or ()),
        affinity=settings.affinity.wire() if settings.affinity else None,
        priority_class_name=settings.priority_class_name,
        runtime_class_name=settings.runtime_class_name,
        scheduler_name=settings.scheduler_name,
        service_account_name=settings.service_account_name,
        image_pull_secrets=settings.pull_secrets(),
        topology_spread_constraints=tuple(_wire(constraint) for constraint in settings.topology_spread_constraints or ()),
    )


def _wire(part: Spec, *, exclude: set[str] | None = None) -> dict[str, Any]:
    return part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=exclude)
