"""What a job sets for the pods of each stage, as Kubernetes' own objects."""

from typing import Any

from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.pod_settings import PodSettings
from tunewright.plan.plan_types import PodOptions, Scheduling, VolumeOption
from tunewright_contract import stages
from tunewright_contract.stages import Stage

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
