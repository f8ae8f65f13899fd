"""Volumes of a job: the sources of its model and data, and the storage of its checkpoints and models.

There is one volume per folder of a claim, and one per `path`, with a name that depends only on the source. Refuses local folders in a
cluster, and claims that are too small, with a way out. Admission has refused sources that no stage can read; placement.py handles shared
claims.
"""

from dataclasses import dataclass
from typing import cast

from tunewright.api.v1alpha1.data import Dataset, DataSource
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import Defaults, References
from tunewright.plan.names import volume_name
from tunewright.plan.plan_types import ClaimSource, DataVolume, FolderSource, NewClaim, Rejection, SecretKey, Source, Storage
from tunewright_contract.quantities import people_bytes, whole
from tunewright_contract.reports import ModelFacts
from tunewright_contract.trainer_config import DataFile, HubModel


@dataclass(frozen=True, kw_only=True)
class ModelOrigin:
    """The base model: a repository on the hub, or a folder."""

    hub: HubModel | None = None
    token: SecretKey | None = None
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The job's data sets as files within volumes."""

    train: tuple[DataFile, ...]
    validation: tuple[DataFile, ...]
    test: tuple[DataFile, ...]
    volumes: tuple[DataVolume, ...]


def model_origin(job: FineTuneJob, refs: References) -> ModelOrigin | Rejection:
    """Return where the base model is."""
    source = job.spec.model.source
    if source.hugging_face is not None:
        hub = source.hugging_face
        token = SecretKey(name=hub.token_secret_ref.name, key=hub.token_secret_ref.key) if hub.token_secret_ref else None
        return ModelOrigin(hub=HubModel(repo=hub.repo, revision=hub.revision), token=token)
    if source.pvc is not None:
        return ModelOrigin(source=ClaimSource(claim=source.pvc.claim_name, path=(source.pvc.path or "").rstrip("/")))
    written = cast("str", source.path)  # admission lets no other source through
    if not refs.host_paths:
        return _on_one_machine(written, "spec.model.source.path")
    return ModelOrigin(source=FolderSource(path=refs.folders[written], written=written))


def data_files(job: FineTuneJob, refs: References) -> DataFiles | Rejection:
    """Return the job's data sets as files within volumes."""
    volumes: dict[str, DataVolume] = {}
    sets: dict[str, tuple[DataFile, ...]] = {}
    for name, items in (("train", job.spec.data.train), ("validation", job.spec.data.validation), ("test", job.spec.data.test)):
        for index, item in enumerate(items):
            if item.source.path is not None and not refs.host_paths:
                return _on_one_machine(item.source.path, f"spec.data.{name}[{index}].source.path")
        sets[name] = tuple(_file(item, refs, volumes) for item in items)
    return DataFiles(**sets, volumes=tuple(volumes[name] for name in sorted(volumes)))


def _file(item: Dataset, refs: References, volumes: dict[str, DataVolume]) -> DataFile:
    folder, file = _folder_and_file(item.source, refs)
    # The name depends on the source only, so another data set in a job moves no file of the first.
    name = volume_name(f"{folder.claim}:{folder.path}" if isinstance(folder, ClaimSource) else folder.written)
    volumes[name] = DataVolume(name=name, source=folder)
    return DataFile(path=f"{name}/{file}", format=item.format, columns=dict(item.columns))


def _folder_and_file(source: DataSource, refs: References) -> tuple[Source, str]:
    if source.pvc is not None:
        folder, _, file = (source.pvc.path or "").rpartition("/")
        return ClaimSource(claim=source.pvc.claim_name, path=folder), file
    written = cast("str", source.path)  # admission lets no other source through
    folder, _, file = refs.folders[written].rpartition("/")
    return FolderSource(path=folder or "/", written=written), file


def _on_one_machine(path: str, field: str) -> Rejection:
    return Rejection(
        reason="PathNeedsOneMachine",
        field=field,
        message=f"{path} is a path of one machine, and pods run on others; put it into a claim and use pvc, or use `tunewright run`",
    )


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
