"""Volumes of the model and data sources: one per folder of a claim, and one per `path`, with a name that depends only on the source.

Refuses sources that no stage can read yet, and local folders in a cluster, each with a way out.
"""

from dataclasses import dataclass

from tunewright.api.v1alpha1.common import PvcSource
from tunewright.api.v1alpha1.data import Dataset
from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.errors import PlanRejected
from tunewright.plan.inputs import References
from tunewright.plan.names import volume_name
from tunewright.plan.plan_types import ClaimSource, DataVolume, FolderSource, SecretKey, Source
from tunewright_contract.capabilities.data_formats import DATA_FORMATS
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


def model_origin(job: FineTuneJob, refs: References) -> ModelOrigin:
    """Return where the base model is. Raises `PlanRejected`."""
    source, field = job.spec.model.source, "spec.model.source"
    if source.hugging_face is not None:
        hub = source.hugging_face
        token = SecretKey(name=hub.token_secret_ref.name, key=hub.token_secret_ref.key) if hub.token_secret_ref else None
        return ModelOrigin(hub=HubModel(repo=hub.repo, revision=hub.revision), token=token)
    if source.pvc is not None:
        return ModelOrigin(source=_claim(source.pvc))
    if source.path is not None:
        return ModelOrigin(source=FolderSource(path=_local(source.path, refs, f"{field}.path"), written=source.path))
    raise _unsupported(field, source.chosen(), "huggingFace, pvc or, on one machine, path")


def data_files(job: FineTuneJob, refs: References) -> DataFiles:
    """Return the job's data sets as files within volumes. Raises `PlanRejected`."""
    volumes: dict[str, DataVolume] = {}
    sets = {
        name: tuple(_file(item, refs, volumes, f"spec.data.{name}[{index}]") for index, item in enumerate(items))
        for name, items in (("train", job.spec.data.train), ("validation", job.spec.data.validation), ("test", job.spec.data.test))
    }
    return DataFiles(**sets, volumes=tuple(volumes[name] for name in sorted(volumes)))


def _file(item: Dataset, refs: References, volumes: dict[str, DataVolume], field: str) -> DataFile:
    if item.format is not None and not DATA_FORMATS[item.format].supported:
        raise PlanRejected(
            reason="FormatUnsupported",
            field=f"{field}.format",
            message=f"{item.format} is not supported yet; convert the data to one of {', '.join(DATA_FORMATS.supported)}",
        )
    folder, file = _folder_and_file(item, refs, f"{field}.source")
    # The name depends on the source only, so another data set in a job moves no file of the first.
    name = volume_name(f"{folder.claim}:{folder.path}" if isinstance(folder, ClaimSource) else folder.written)
    volumes[name] = DataVolume(name=name, source=folder)
    return DataFile(path=f"{name}/{file}", format=item.format, columns=dict(item.columns))


def _folder_and_file(item: Dataset, refs: References, field: str) -> tuple[Source, str]:
    source = item.source
    if source.pvc is not None:
        folder, file = _split(source.pvc.path or "", f"{field}.pvc.path")
        return ClaimSource(claim=source.pvc.claim_name, path=folder), file
    if source.path is not None:
        folder, file = _split(_local(source.path, refs, f"{field}.path"), f"{field}.path")
        return FolderSource(path=folder or "/", written=source.path), file
    raise _unsupported(field, source.chosen(), "pvc or, on one machine, path")


def _split(path: str, field: str) -> tuple[str, str]:
    folder, _, file = path.rpartition("/")
    if not file:
        raise PlanRejected(
            reason="DataFileMissing", field=field, message="names a folder; name the file of examples in it, e.g. corpora/train.jsonl"
        )
    return folder, file


def _claim(pvc: PvcSource) -> ClaimSource:
    return ClaimSource(claim=pvc.claim_name, path=(pvc.path or "").rstrip("/"))


def _local(path: str, refs: References, field: str) -> str:
    if not refs.host_paths:
        raise PlanRejected(
            reason="PathNeedsOneMachine",
            field=field,
            message=f"{path} is a path of one machine, and pods run on others; put it into a claim and use pvc, or use `tunewright run`",
        )
    if path not in refs.folders:
        raise PlanRejected(reason="PathNotFound", field=field, message=f"{path} does not exist; correct the path, relative to the manifest")
    return refs.folders[path]


def _unsupported(field: str, chosen: tuple[str, ...], known: str) -> PlanRejected:
    return PlanRejected(
        reason="SourceUnsupported",
        field=field,
        message=f"{', '.join(chosen) or 'an empty source'} is not supported yet; use {known}",
    )
