"""Storage of checkpoints and finished models. Refuses claims that are too small; placement.py handles shared claims."""

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import Defaults
from tunewright.plan.plan_types import NewClaim, Storage
from tunewright.plan.quantities import people_bytes, whole
from tunewright.plan.rejections import Rejection
from tunewright_contract.reports import ModelFacts

# The folders of the claim that holds checkpoints. It also holds finished models, unless the job names a destination.
RUNS_FOLDER = "runs"
CACHE_FOLDER = "cache"  # downloads from the hub: once for all ranks, attempts and stages
MODELS_FOLDER = "models"

_CHECKPOINT_BYTES = 2 + 12  # of a trained parameter: its weight, and the fp32 master copy and two moments of Adam
_WEIGHT_BYTES = 2  # of the model as kept at the end of a full fine-tune


def storage_of(
    job: FineTuneJob, output_claim: str, defaults: Defaults, facts: ModelFacts | None, *, present_size: str = ""
) -> Storage | Rejection:
    """Return the claims and folders of the job; `output_claim` is the name of a claim to create.

    When the parameters are counted, a claim to create must have space for the kept checkpoints (E402).
    """
    output = job.spec.output
    create = _new_claim(job, defaults, present_size) if output.storage.claim_name is None else None
    if create is not None and facts is not None and (rejection := _reject_too_small(job, create, facts)):
        return rejection
    kept = output.storage.claim_name or output_claim
    models_claim, models_path = published_to(job, output_claim)
    return _reject_taken_folder(kept, models_claim, models_path) or Storage(
        output_claim=kept,
        models_claim=models_claim,
        models_path=models_path,
        create=create,
        retain=output.storage.retain,
    )


def published_to(job: FineTuneJob, output_claim: str) -> tuple[str, str]:
    """Return the claim and the folder of finished models."""
    output = job.spec.output
    if not output.destinations:
        return output.storage.claim_name or output_claim, MODELS_FOLDER
    destination = output.destinations[0].pvc
    return destination.claim_name, (destination.path or "").strip("/")


def _reject_taken_folder(output_claim: str, models_claim: str, models_path: str) -> Rejection | None:
    if output_claim != models_claim or models_path.partition("/")[0] not in {RUNS_FOLDER, CACHE_FOLDER}:
        return None
    return Rejection(
        reason="FolderTaken",
        field="spec.output.destinations[0].pvc.path",
        message=f"{models_path} in claim {models_claim} holds checkpoints; name another folder, such as {MODELS_FOLDER}",
    )


def _new_claim(job: FineTuneJob, defaults: Defaults, present_size: str) -> NewClaim:
    storage = job.spec.output.storage
    modes = storage.access_modes or ("ReadWriteOnce",)
    # A claim cannot shrink, and grows only where its StorageClass permits that: another default leaves it as it is, and so does a person
    # who has enlarged it.
    size = storage.size or present_size or defaults.output_size
    if present_size and whole(present_size) > whole(size):
        size = present_size
    return NewClaim(size=size, storage_class=storage.storage_class_name, access_modes=tuple(modes))


def _reject_too_small(job: FineTuneJob, create: NewClaim, facts: ModelFacts) -> Rejection | None:
    per_parameter = _WEIGHT_BYTES if job.spec.training.save_only_model else _CHECKPOINT_BYTES
    # The newest is written before the oldest is removed, and the final weights are in the same claim.
    checkpoints = (job.spec.training.save_total_limit + 1) * facts.trainable_parameters * per_parameter
    needed = checkpoints + facts.trainable_parameters * _WEIGHT_BYTES
    if needed <= whole(create.size):
        return None
    return Rejection(
        reason="StorageTooSmall",
        field="spec.output.storage.size",
        message=f"E402: {create.size} cannot hold {job.spec.training.save_total_limit} checkpoints, one being written, and the result: "
        f"{people_bytes(needed)}; raise it, or lower spec.training.saveTotalLimit",
    )
