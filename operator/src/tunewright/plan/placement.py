"""Decides whether a stage's pods may run on different nodes. A ReadWriteOnce claim keeps them on one node.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes. ReadWriteOnce is per node, ReadWriteOncePod per pod.
The scheduler enforces only the latter, so without affinity a second pod could be placed on another node and never start. Refuses claims for
which affinity does not help.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import Missing, References
from tunewright.plan.plan_types import Placement, Rejection, Storage
from tunewright.plan.rollout import PublishedModel
from tunewright_contract.stages import SERVE, TRAIN, Stage

_MANY_NODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_WRITABLE = frozenset({"ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"})
SERVED_MODEL = "spec.serving.modelRef.name"
_WAY_OUT = "use a claim with ReadWriteMany"


class Use(NamedTuple):
    """A claim that pods mount, and the field that names it."""

    field: str
    claim: str


class _Claims(NamedTuple):
    """The claims that one node at a time mounts, by the pods that mount them."""

    written: tuple[Use, ...]  # all claims that are written to
    gang: list[Use]
    servers: list[Use]
    modes: Mapping[str, tuple[str, ...]]  # claim -> access modes, as far as they are known


def placement_of(job: FineTuneJob, refs: References, storage: Storage, model: PublishedModel | Missing) -> Placement:
    """Return which pods must share a node, and why; `model` is the model to serve."""
    claims = _claims(job, refs, storage, model)
    return Placement(gang=_why(claims.gang), servers=_why(claims.servers))


def reject_read_only(job: FineTuneJob, refs: References, storage: Storage, model: PublishedModel | Missing) -> Rejection | None:
    """Reject a claim that checkpoints or models cannot be written to. A claim with unknown access modes passes."""
    claims = _claims(job, refs, storage, model)
    for field, claim in claims.written:
        known = claims.modes.get(claim, ())
        if known and _WRITABLE.isdisjoint(known):
            message = f"claim {claim} is {', '.join(known)}, and checkpoints and models are written to it; {_WAY_OUT}"
            return Rejection(reason="VolumeReadOnly", field=field, message=message)
    return None


def reject_gang_volume(job: FineTuneJob, refs: References, storage: Storage, model: PublishedModel | Missing) -> Rejection | None:
    """Reject a gang of several pods on a claim that one pod at a time mounts."""
    claims = _claims(job, refs, storage, model)
    return _reject_single_pod(claims.gang, claims.modes, f"{job.spec.workers.replicas} workers")


def reject_server_volume(job: FineTuneJob, refs: References, storage: Storage, model: PublishedModel | Missing) -> Rejection | None:
    """Reject a server on a claim that one pod at a time mounts."""
    claims = _claims(job, refs, storage, model)
    return _reject_single_pod(claims.servers, claims.modes, "a server and its replacement")


def _claims(job: FineTuneJob, refs: References, storage: Storage, model: PublishedModel | Missing) -> _Claims:
    modes = dict(refs.claims) | ({storage.output_claim: storage.create.access_modes} if storage.create else {})
    written, served = _output(job, storage), _models(job, storage)
    if isinstance(model, PublishedModel) and model.job != job.metadata.name:
        served_modes = modes | {model.claim: model.access_modes}
        served = Use(SERVED_MODEL, model.claim)
    else:
        served_modes = modes
    train, serve = (tuple(volume_claims(job, stage)) for stage in (TRAIN, SERVE))
    gang = [use for use in (*named_claims(job), written, *train) if not _spreads(modes, use)] if job.spec.workers.replicas > 1 else []
    # During a rollout the new server runs beside the old one, so even a single replica can mean two pods.
    servers = [use for use in (served, *serve) if not _spreads(served_modes, use)] if job.spec.serving is not None else []
    return _Claims(written=(written, _models(job, storage)), gang=gang, servers=servers, modes=served_modes)


def named_claims(job: FineTuneJob) -> Iterator[Use]:
    """Yield the claims of the base model and of the data, each as often as it is named."""
    spec = job.spec
    if spec.model.source.pvc is not None:
        yield Use("spec.model.source.pvc.claimName", spec.model.source.pvc.claim_name)
    for split, sets in (("train", spec.data.train), ("validation", spec.data.validation), ("test", spec.data.test)):
        for index, item in enumerate(sets):
            if item.source.pvc is not None:
                yield Use(f"spec.data.{split}[{index}].source.pvc.claimName", item.source.pvc.claim_name)


def volume_claims(job: FineTuneJob, stage: Stage) -> Iterator[Use]:
    """Yield the claims in `volumes` of a stage's part of the specification."""
    settings = job.spec.written_settings(stage)
    for index, volume in enumerate((settings.volumes if settings else None) or ()):
        if volume.persistent_volume_claim is not None:
            field = f"spec.{stage.settings}.volumes[{index}].persistentVolumeClaim.claimName"
            yield Use(field, volume.persistent_volume_claim.claim_name)


def _output(job: FineTuneJob, storage: Storage) -> Use:
    field = "claimName" if job.spec.output.storage.claim_name is not None else "accessModes"
    return Use(f"spec.output.storage.{field}", storage.output_claim)


def _models(job: FineTuneJob, storage: Storage) -> Use:
    if not job.spec.output.destinations:
        return _output(job, storage)
    return Use("spec.output.destinations[0].pvc.claimName", storage.models_claim)


def _spreads(modes: Mapping[str, tuple[str, ...]], use: Use) -> bool:
    known = modes.get(use.claim, ())
    return not known or not _MANY_NODES.isdisjoint(known)


def _reject_single_pod(uses: list[Use], modes: Mapping[str, tuple[str, ...]], pods: str) -> Rejection | None:
    for field, claim in uses:
        if set(modes[claim]) == {"ReadWriteOncePod"}:
            message = f"claim {claim} is ReadWriteOncePod, and {pods} mount it; {_WAY_OUT}, or ReadWriteOnce on one node"
            return Rejection(reason="VolumeNotShared", field=field, message=message)
    return None


def _why(uses: list[Use]) -> str:
    claims = list(dict.fromkeys(use.claim for use in uses))
    return f"only one node at a time mounts claim {' and claim '.join(claims)} (ReadWriteOnce)" if claims else ""
