"""The fields of a FineTuneJob that have an effect only in a cluster. A local run reports each one that is set; it ignores none silently.

A field is refused if the job would compute something else without it, and named if it only decides where or when a cluster runs the pods.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.pod_settings import ACCELERATOR_RESOURCES
from tunewright.plan.label_names import KUEUE
from tunewright_contract.stages import STAGES, Shape


@dataclass(frozen=True, kw_only=True)
class ClusterField:
    """A field, why it has no effect in a local run, and what to do if it is refused. `path` begins with `spec.` or `metadata.`."""

    path: str
    why: str
    way_out: str = ""

    @property
    def refused(self) -> bool:
        """Return whether a local run refuses the field. Otherwise it runs without it."""
        return bool(self.way_out)


_ONE_MACHINE = "there is one machine, and no scheduler"
_NO_RESERVATION = "no scheduler reserves resources"
_NO_IMAGE = "pods run the Python environment of this command, and no image"
_FOLDER = "a claim is a folder of this machine"
_WITHOUT_IMAGE = "Remove the field, or run the job in a cluster."

# Of each stage's pods, under the part of the specification that has them.
_POD_FIELDS = (
    ("resources.requests", _NO_RESERVATION),
    ("podLabels", "no object in a cluster has them"),
    ("podAnnotations", "no object in a cluster has them"),
    ("nodeSelector", _ONE_MACHINE),
    ("tolerations", _ONE_MACHINE),
    ("affinity", _ONE_MACHINE),
    ("topologySpreadConstraints", _ONE_MACHINE),
    ("schedulerName", _ONE_MACHINE),
    ("priorityClassName", "no pod is preempted"),
    ("runtimeClassName", "pods are processes, and no container runtime starts them"),
    ("serviceAccountName", "there is no API server to authenticate to"),
    ("imagePullSecrets", _NO_IMAGE),
)

CLUSTER_FIELDS = (
    *(ClusterField(path=f"spec.{stage.settings}.{name}", why=why) for stage in STAGES for name, why in _POD_FIELDS),
    *(
        ClusterField(
            path=f"spec.{stage.settings}.{name}", why="pods are processes, and see the files of this machine", way_out=_WITHOUT_IMAGE
        )
        for stage in STAGES
        for name in ("volumes", "volumeMounts")
    ),
    ClusterField(path="spec.workers.image", why=_NO_IMAGE, way_out=_WITHOUT_IMAGE),
    ClusterField(path="spec.serving.image", why=_NO_IMAGE, way_out=_WITHOUT_IMAGE),
    ClusterField(path="spec.serving.autoscaling", why="no autoscaler sees the processes of this machine: serving.replicas is the number"),
    ClusterField(path="spec.output.storage.size", why=f"{_FOLDER}, and has the size of its disk"),
    ClusterField(path="spec.output.storage.storageClassName", why=_FOLDER),
    ClusterField(path="spec.output.storage.accessModes", why=_FOLDER),
)
# Limits that have an effect in a local run: memory is enforced, cpu is the number of threads, accelerators are the ranks of a training pod.
_LIMITS = frozenset({"cpu", "memory"})
_LIMITS_OF_GANG = _LIMITS | set(ACCELERATOR_RESOURCES)


def cluster_fields_of(job: FineTuneJob) -> list[ClusterField]:
    """Return the fields that a manifest sets and that have no effect in a local run, the refused ones included."""
    spec = job.spec.model_dump(by_alias=True, exclude_defaults=True)
    found = [field for field in CLUSTER_FIELDS if _is_set({"spec": spec}, field.path)]
    return [*found, *_limits(spec), *_amounts_as_variables(job), *_shared_accelerators(job), *_queue(job)]


def _is_set(part: Mapping[str, Any], path: str) -> bool:
    for step in path.split("."):
        if step not in (part or {}):
            return False
        part = part[step]
    return True


def _limits(spec: Mapping[str, Any]) -> Iterator[ClusterField]:
    for stage in STAGES:
        owner, honoured = stage.settings, _LIMITS_OF_GANG if stage.shape is Shape.GANG else _LIMITS
        limits = ((spec.get(owner) or {}).get("resources") or {}).get("limits") or {}
        for name in sorted(limits.keys() - honoured):
            yield ClusterField(path=f"spec.{owner}.resources.limits[{name}]", why="this limit is not enforced, and no device is assigned")


def _amounts_as_variables(job: FineTuneJob) -> Iterator[ClusterField]:
    for stage in STAGES:
        settings = job.spec.written_settings(stage)
        for index, variable in enumerate((settings.env if settings else None) or ()):
            if variable.value_from is not None and variable.value_from.resource_field_ref is not None:
                path = f"spec.{stage.settings}.env[{index}].valueFrom.resourceFieldRef"
                yield ClusterField(
                    path=path, why="a process has no requests and limits of a container", way_out="Give the variable a value."
                )


def _shared_accelerators(job: FineTuneJob) -> Iterator[ClusterField]:
    """Refuse several pods with accelerators: each would use the machine's first devices."""
    workers = job.spec.workers
    if workers.replicas > 1 and workers.accelerators:
        devices = workers.replicas * workers.accelerators
        yield ClusterField(
            path="spec.workers.replicas",
            why=f"{workers.replicas} pods of one machine would share the same accelerators",
            way_out=f"Set replicas: 1 with {devices} accelerators in resources.limits, or run the job in a cluster.",
        )


def _queue(job: FineTuneJob) -> Iterator[ClusterField]:
    for place, names in (("labels", job.metadata.labels), ("annotations", job.metadata.annotations)):
        for name in sorted(name for name in names if name.startswith(KUEUE)):
            yield ClusterField(path=f"metadata.{place}[{name}]", why="there is no queue: the job starts at once")
