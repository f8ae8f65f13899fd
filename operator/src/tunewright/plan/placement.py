"""Decides whether a stage's pods may run on different nodes. A ReadWriteOnce claim keeps them on one node.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#access-modes. ReadWriteOnce is per node, ReadWriteOncePod per pod.
The scheduler enforces only the latter, so without affinity a second pod would hang on another node. Refuses what affinity cannot solve.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.errors import PlanRejected
from tunewright.plan.inputs import Missing, References
from tunewright.plan.plan_types import Placement, Storage
from tunewright.plan.rollout import PublishedModel

_MANY_NODES = frozenset({"ReadWriteMany", "ReadOnlyMany"})
_WRITABLE = frozenset({"ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"})
SERVED_MODEL = "spec.serving.modelRef.name"
_WAY_OUT = "use a claim with ReadWriteMany"


class Use(NamedTuple):
    """A claim that pods mount, and the field that names it."""

    field: str
    claim: str


def placement_of(job: FineTuneJob, refs: References, storage: Storage, model: PublishedModel | Missing) -> Placement:
    """Return which pods must share a node, and why; `model` is what is to be served.

    Raises `PlanRejected` (VolumeNotShared, VolumeReadOnly). A claim whose access modes are not known holds nobody back.
    """
    modes = dict(refs.claims) | ({storage.output_claim: storage.create.access_modes} if storage.create else {})
    written, published = _output(job, storage), _models(job, storage)
    _refuse_read_only((written, published), modes)
    gang = [use for use in (*named_claims(job), written) if not _spreads(modes, use)] if job.spec.workers.replicas > 1 else []
    # A server is replaced by one that starts beside it, so that even a single one has company at times.
    served = published
    if isinstance(model, PublishedModel) and model.job != job.metadata.name:
        served, modes = Use(SERVED_MODEL, model.claim), modes | {model.claim: model.access_modes}
    servers = [served] if job.spec.serving is not None and not _spreads(modes, served) else []
    for uses, who in ((gang, f"{job.spec.workers.replicas} workers"), (servers, "a server and the one that replaces it")):
        _refuse_single_pod(uses, modes, who)
    return Placement(gang=_why(gang), servers=_why(servers))


def named_claims(job: FineTuneJob) -> Iterator[Use]:
    """Yield the claims of the base model and of the data, each as often as it is named."""
    spec = job.spec
    if spec.model.source.pvc is not None:
        yield Use("spec.model.source.pvc.claimName", spec.model.source.pvc.claim_name)
    for split, sets in (("train", spec.data.train), ("validation", spec.data.validation), ("test", spec.data.test)):
        for index, item in enumerate(sets):
            if item.source.pvc is not None:
                yield Use(f"spec.data.{split}[{index}].source.pvc.claimName", item.source.pvc.claim_name)


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


def _refuse_read_only(uses: tuple[Use, ...], modes: Mapping[str, tuple[str, ...]]) -> None:
    for field, claim in uses:
        known = modes.get(claim, ())
        if known and _WRITABLE.isdisjoint(known):
            message = f"claim {claim} is {', '.join(known)}, and checkpoints and models are written to it; {_WAY_OUT}"
            raise PlanRejected(reason="VolumeReadOnly", field=field, message=message)


def _refuse_single_pod(uses: list[Use], modes: Mapping[str, tuple[str, ...]], who: str) -> None:
    for field, claim in uses:
        if set(modes[claim]) == {"ReadWriteOncePod"}:
            message = f"claim {claim} is ReadWriteOncePod, and {who} mount it; {_WAY_OUT}, or ReadWriteOnce on one node"
            raise PlanRejected(reason="VolumeNotShared", field=field, message=message)


def _why(uses: list[Use]) -> str:
    claims = list(dict.fromkeys(use.claim for use in uses))
    return f"only one node at a time mounts claim {' and claim '.join(claims)} (ReadWriteOnce)" if claims else ""
