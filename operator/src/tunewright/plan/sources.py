"""Volumes of the model and data sources: one per folder of a claim, and one per `path`, with a name that depends only on the source.

Refuses local folders in a cluster, with a way out. Admission has refused sources that no stage can read.
"""

from dataclasses import dataclass
from typing import cast

from tunewright.api.v1alpha1.data import Dataset, DataSource
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import References
from tunewright.plan.names import volume_name
from tunewright.plan.plan_types import ClaimSource, DataVolume, FolderSource, SecretKey, Source
from tunewright.plan.rejections import Rejection
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
