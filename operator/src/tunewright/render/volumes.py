"""Volumes and mounts of a stage's pod, and the objects of the job that some of them need: a ConfigMap, and a claim.

The ConfigMap has the trainer's configuration, `config.json`. It is immutable and named after its content: a pod that restarts or starts
late must read the same configuration as the rest of its gang. If the plan changes between two stages, by Check's counts or an operator
upgrade, a second ConfigMap is created. The first stays while a Job mounts it. The claim is for checkpoints and models, if the job names
none.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tunewright.plan import label_names
from tunewright.plan.label_names import SHARED
from tunewright.plan.names import volume_name
from tunewright.plan.plan_types import FineTunePlan, FolderSource, PodOptions, Source, VolumeOption
from tunewright.plan.rollout import PublishedModel
from tunewright.plan.storage import CACHE_FOLDER, RUNS_FOLDER
from tunewright.render.labels import INSTANCE, JsonObject, metadata
from tunewright_contract.stages import Stage

_DIGITS = 8  # hexadecimal, of the content's sha256


def render_config_map(plan: FineTunePlan) -> tuple[JsonObject, ...]:
    """Return the ConfigMap, the same text for the same configuration."""
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata(plan, config_name(plan), SHARED),
            "data": {"config.json": plan.config_text},
            "immutable": True,
        },
    )


def config_name(plan: FineTunePlan) -> str:
    """Return the name of the ConfigMap with this configuration."""
    return f"{plan.names.config}-{sha256(plan.config_text.encode()).hexdigest()[:_DIGITS]}"


_WHY_RETAINED = "holds checkpoints and models; deleting the FineTuneJob leaves it, deleting this claim deletes them"
# Argo CD's tracking label can be another one, and a person may have put the claim into a repository of Flux.
_NEVER_PRUNED = {"argocd.argoproj.io/sync-options": "Prune=false,Delete=false", "kustomize.toolkit.fluxcd.io/prune": "disabled"}


def render_volume_claim(plan: FineTunePlan) -> tuple[JsonObject, ...]:
    """Return the claim to create. A retained one has no owner, so that garbage collection keeps it, and an annotation that records this.

    With label tracking, Argo CD takes an object without an owner for its Application's if the label `app.kubernetes.io/instance` has that
    Application's name, and prunes it if it is not in Git. A retained claim therefore lacks this label.
    """
    new = plan.storage.create
    if new is None:
        return ()
    retain = plan.storage.retain
    described = metadata(
        plan,
        plan.storage.output_claim,
        SHARED,
        annotations={label_names.RETAIN: _WHY_RETAINED, **_NEVER_PRUNED} if retain else None,
        owned=not retain,
    )
    if retain:
        described["labels"] = {name: value for name, value in described["labels"].items() if name != INSTANCE}
    storage_class = {} if new.storage_class is None else {"storageClassName": new.storage_class}
    return (
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": described,
            "spec": {"accessModes": list(new.access_modes), "resources": {"requests": {"storage": new.size}}, **storage_class},
        },
    )


CONFIG_DIR = "/etc/tunewright"
MODEL_DIR = "/workspace/model"
DATA_DIR = "/workspace/data"
OUTPUT_DIR = "/workspace/output"
MODELS_DIR = "/workspace/models"
CACHE_DIR = "/workspace/cache"
TOKEN_DIR = "/var/run/secrets/kubeflow/trainer"  # noqa: S105 - the path of Kubeflow Trainer, which its images read

TOKEN_SECONDS = 3600


@dataclass(frozen=True, kw_only=True)
class Mount:
    """One folder of the container, and the volume behind it."""

    volume: str  # its name in the pod
    source: Mapping[str, Any]  # Kubernetes' volume source
    path: str
    sub_path: str = ""
    read_only: bool = False


def pod_mounts(plan: FineTunePlan, stage: Stage) -> tuple[Mount, ...]:
    """Return the mounts of a stage with one pod.

    The output claim is mounted only if the stage needs it: the first pod to use a claim may bind it to a zone without accelerators.
    """
    own = (_cache(plan), _output(plan)) if stage.keeps_output else (_scratch("cache", CACHE_DIR), _scratch("output", OUTPUT_DIR))
    return (*_inputs(plan), *own, *((_models(plan),) if stage.publishes else ()), *job_mounts(plan.options(stage)))


def gang_mounts(plan: FineTunePlan, stage: Stage, shared_memory: str) -> tuple[Mount, ...]:
    """Return the mounts of a rank. NCCL and data loaders exchange tensors in /dev/shm, which has 64 MiB unless mounted."""
    shm = Mount(volume="shm", source={"emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}}, path="/dev/shm")  # noqa: S108
    return (*_inputs(plan), _cache(plan), _output(plan), shm, *_progress_token(plan), *job_mounts(plan.options(stage)))


def serve_mounts(model: PublishedModel, options: PodOptions) -> tuple[Mount, ...]:
    """Return the mounts of the server: finished models, read-only."""
    own = (_scratch("tmp", "/tmp"), _claim(model.claim, MODELS_DIR, sub_path=model.path, read_only=True))  # noqa: S108
    return (*own, *job_mounts(options))


def job_mounts(options: PodOptions) -> tuple[Mount, ...]:
    """Return the mounts of the job's own volumes."""
    return tuple(
        Mount(volume=_name(volume), source=volume.source, path=volume.path, sub_path=volume.sub_path, read_only=volume.read_only)
        for volume in options.volumes
    )


def _name(volume: VolumeOption) -> str:
    """Name a claim as all stages do: a claim that a pod has already is no second volume."""
    claim = volume.source.get("persistentVolumeClaim")
    return volume_name(claim["claimName"]) if claim else volume.name


def volumes(mounts: Iterable[Mount], *, scratch: str | None) -> list[dict[str, Any]]:
    """Return a pod's `volumes`, each once. `scratch`: the limit of an emptyDir that has none of its own."""
    bound = {"emptyDir": {"sizeLimit": scratch}} if scratch else {"emptyDir": {}}
    sources = {mount.volume: bound if mount.source == {"emptyDir": {}} else mount.source for mount in mounts}
    return [{"name": name, **sources[name]} for name in sorted(sources)]


def volume_mounts(mounts: Iterable[Mount]) -> list[dict[str, Any]]:
    """Return a container's `volumeMounts`."""
    return [_volume_mount(mount) for mount in sorted(mounts, key=lambda mount: mount.path)]


def _volume_mount(mount: Mount) -> dict[str, Any]:
    result: dict[str, Any] = {"name": mount.volume, "mountPath": mount.path}
    if mount.sub_path:
        result["subPath"] = mount.sub_path
    if mount.read_only:
        result["readOnly"] = True
    return result


def _inputs(plan: FineTunePlan) -> tuple[Mount, ...]:
    config = Mount(volume="config", source={"configMap": {"name": config_name(plan)}}, path=CONFIG_DIR, read_only=True)
    model = () if plan.model_source is None else (_whole(plan.model_source, MODEL_DIR),)
    data = tuple(_folder(volume.source, f"{DATA_DIR}/{volume.name}") for volume in plan.data_volumes)
    return (config, _scratch("tmp", "/tmp"), *model, *data)  # noqa: S108


def _cache(plan: FineTunePlan) -> Mount:
    """With downloads from the hub, the cache is a folder of the claim and stays after the pod. Otherwise it is scratch space."""
    if not plan.hub_access:
        return _scratch("cache", CACHE_DIR)
    return _claim(plan.storage.output_claim, CACHE_DIR, sub_path=CACHE_FOLDER)


def _output(plan: FineTunePlan) -> Mount:
    return _claim(plan.storage.output_claim, OUTPUT_DIR, sub_path=RUNS_FOLDER)


def _models(plan: FineTunePlan) -> Mount:
    return _claim(plan.storage.models_claim, MODELS_DIR, sub_path=plan.storage.models_path)


def _progress_token(plan: FineTunePlan) -> tuple[Mount, ...]:
    if not plan.progress_url:
        return ()
    token = {"serviceAccountToken": {"audience": progress_audience(plan), "expirationSeconds": TOKEN_SECONDS, "path": "token"}}
    return (Mount(volume="progress-token", source={"projected": {"sources": [token]}}, path=TOKEN_DIR, read_only=True),)


def progress_audience(plan: FineTunePlan) -> str:
    """Return the audience of a progress token: this job's status and nothing else."""
    return f"{plan.owner.api_version}/namespaces/{plan.owner.namespace}/finetunejobs/{plan.owner.name}/status"


def _whole(source: Source, path: str) -> Mount:
    """Mount a base model's claim as a whole: MODEL_DIR names the folder, so that Check reports a missing one, and not the kubelet."""
    return _folder(source, path) if isinstance(source, FolderSource) else _claim(source.claim, path, read_only=True)


def _folder(source: Source, path: str) -> Mount:
    if isinstance(source, FolderSource):
        name = volume_name(source.written or source.path)
        return Mount(volume=name, source={"hostPath": {"path": source.path, "type": "Directory"}}, path=path, read_only=True)
    return _claim(source.claim, path, sub_path=source.path.strip("/"), read_only=True)


def _claim(name: str, path: str, *, sub_path: str = "", read_only: bool = False) -> Mount:
    return Mount(
        volume=volume_name(name),
        source={"persistentVolumeClaim": {"claimName": name}},
        path=path,
        sub_path=sub_path.strip("/"),
        read_only=read_only,
    )


def _scratch(volume: str, path: str) -> Mount:
    return Mount(volume=volume, source={"emptyDir": {}}, path=path)
