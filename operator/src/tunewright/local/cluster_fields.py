"""The fields of a FineTuneJob that have an effect only in a cluster. A local run reports each one that is set; it ignores none silently.

A field is refused if the job would compute something else without it, and named if it only decides where or when a cluster runs the pods.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.api.v1alpha1.workers import ACCELERATOR_RESOURCES
from tunewright.plan.label_names import KUEUE


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

CLUSTER_FIELDS = (
    ClusterField(path="spec.workers.resources.requests", why=_NO_RESERVATION),
    ClusterField(path="spec.workers.nodeSelector", why=_ONE_MACHINE),
    ClusterField(path="spec.workers.tolerations", why=_ONE_MACHINE),
    ClusterField(path="spec.workers.affinity", why=_ONE_MACHINE),
    ClusterField(path="spec.workers.schedulerName", why=_ONE_MACHINE),
    ClusterField(path="spec.workers.priorityClassName", why="no pod is preempted"),
    ClusterField(path="spec.workers.runtimeClassName", why="pods are processes, and no container runtime starts them"),
    ClusterField(path="spec.workers.serviceAccountName", why="there is no API server to authenticate to"),
    ClusterField(path="spec.workers.imagePullSecrets", why=_NO_IMAGE),
    ClusterField(path="spec.workers.image", why=_NO_IMAGE, way_out=_WITHOUT_IMAGE),
    ClusterField(path="spec.serving.resources.requests", why=_NO_RESERVATION),
    ClusterField(path="spec.serving.nodeSelector", why=_ONE_MACHINE),
    ClusterField(path="spec.serving.tolerations", why=_ONE_MACHINE),
    ClusterField(path="spec.serving.image", why=_NO_IMAGE, way_out=_WITHOUT_IMAGE),
    ClusterField(path="spec.output.storage.size", why=f"{_FOLDER}, and has the size of its disk"),
    ClusterField(path="spec.output.storage.storageClassName", why=_FOLDER),
    ClusterField(path="spec.output.storage.accessModes", why=_FOLDER),
)
# Limits that have an effect in a local run: memory is enforced, cpu is the number of threads, accelerators are the ranks of a training pod.
_LIMITS: Mapping[str, frozenset[str]] = {
    "workers": frozenset({"cpu", "memory", *ACCELERATOR_RESOURCES}),
    "serving": frozenset({"cpu", "memory"}),
}


def cluster_fields_of(job: FineTuneJob) -> list[ClusterField]:
    """Return the fields that a manifest sets and that have no effect in a local run, the refused ones included."""
    spec = job.spec.model_dump(by_alias=True, exclude_defaults=True)
    found = [field for field in CLUSTER_FIELDS if _is_set({"spec": spec}, field.path)]
    return [*found, *_limits(spec), *_shared_accelerators(job), *_queue(job)]


def _is_set(part: Mapping[str, Any], path: str) -> bool:
    for step in path.split("."):
        if step not in (part or {}):
            return False
        part = part[step]
    return True


def _limits(spec: Mapping[str, Any]) -> Iterator[ClusterField]:
    for owner, honoured in _LIMITS.items():
        limits = ((spec.get(owner) or {}).get("resources") or {}).get("limits") or {}
        for name in sorted(limits.keys() - honoured):
            yield ClusterField(path=f"spec.{owner}.resources.limits[{name}]", why="this limit is not enforced, and no device is assigned")


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
