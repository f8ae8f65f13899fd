"""Removes the files that a manifest with the job's uid lists from claims, for `tunewright delete`. All others stay and are reported.

Manifests: `tunewright-run.json` in a folder of checkpoints or of an unfinished model, MANIFEST.json in a checkpoint, `tunewright.json` in a
finished model.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tunewright.api.v1alpha1.job import FineTuneJob, parse
from tunewright.local.layout import Layout
from tunewright.local.open_folder import OpenFolder
from tunewright.local.store import Object
from tunewright.plan.names import names_of
from tunewright.plan.storage import CACHE_FOLDER, RUNS_FOLDER, published_to
from tunewright_contract.folders import MANIFEST_NAME, RUN_MANIFEST_NAME, RunFolder

_CHECKPOINT_MANIFEST = "MANIFEST.json"
_DOWNLOADS = ("hub", "xet", "triton", "datasets", "assets", ".locks")  # folders that the libraries create in HF_HOME
_NAMED = 5  # files of a folder that stay, at most so many are named


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A file or folder that stays, and why."""

    path: Path
    why: str


@dataclass(frozen=True, kw_only=True)
class _JobFolder:
    """A folder of a claim in which a job has its folder, named after the job."""

    claim: Path
    folder: str
    models: bool


class Removal:
    """Removes the files of one job from this machine's claims."""

    def __init__(self, layout: Layout, stored: Object) -> None:
        self._uid: str = stored["metadata"]["uid"]
        self._name: str = stored["metadata"]["name"]
        self._places: tuple[_JobFolder, ...] = ()
        self._own: Path | None = None
        self.created_claim: str | None = None  # by this job; None when the job names a claim
        self.retained = False
        job = _read(stored)
        if job is None:
            return
        namespace = job.metadata.namespace
        claim = job.spec.output.storage.claim_name
        created = names_of(self._name).output
        models_claim, models_folder = published_to(job, created)
        if not claim:
            self._own = layout.claim(namespace, created)
        self.created_claim = None if claim else created
        self.retained = "retain" in job.spec.output.storage.model_fields_set and job.spec.output.storage.retain
        self._places = (
            _JobFolder(claim=layout.claim(namespace, claim or created), folder=RUNS_FOLDER, models=False),
            _JobFolder(claim=layout.claim(namespace, models_claim), folder=models_folder, models=True),
        )

    def outside(self) -> list[Path]:
        """Return the folders of this job in claims that it did not create."""
        return [self._path(place) for place in self._places if place.claim != self._own and self._made_any(place)]

    def remove(self, *, keep_models: bool, outside: bool) -> list[Kept]:
        """Remove the job's files; those in claims that it did not create only if `outside`. Returns what stays."""
        kept = []
        if self.retained and self._own is not None and self._own.exists():
            kept.append(Kept(path=self._own, why="output.storage.retain is true"))
        for place in self._places:
            if place.claim == self._own and self.retained:
                continue
            if place.models and keep_models:
                kept += [Kept(path=self._path(place), why="--keep-models")] if self._made_any(place) else []
            elif place.claim != self._own and not outside and self._made_any(place):
                kept.append(Kept(path=self._path(place), why=f"this job did not create claim {place.claim.name}"))
            else:
                kept += self._remove(place)
        return kept + ([] if self.retained else self._remove_own_claim(kept))

    def _path(self, place: _JobFolder) -> Path:
        return place.claim / place.folder / self._name

    def _made_any(self, place: _JobFolder) -> bool:
        with OpenFolder.at(place.claim) as claim:
            if claim is None:
                return False
            with claim.below(f"{place.folder}/{self._name}") as folder:
                return folder is not None and any(self._entries(inner) is not None for _, inner in _folders(folder))

    def _remove(self, place: _JobFolder) -> list[Kept]:
        """Remove this job's revisions from a folder of a claim. Returns what stays in the folder with the job's name."""
        with OpenFolder.at(place.claim) as claim:
            if claim is None:
                return []
            with claim.below(place.folder) as parent:
                if parent is None or not parent.is_folder(self._name):
                    return []
                with parent.below(self._name) as folder:
                    removed = folder is not None and self._remove_revisions(folder)
                    left = folder.names() if folder is not None else []
                if not left and removed:
                    parent.remove_if_empty(self._name)
            if place.claim == self._own:
                claim.remove_if_empty(place.folder)
        named = [Kept(path=self._path(place) / name, why="no manifest of this job lists all of it") for name in left[:_NAMED]]
        more = len(left) - _NAMED
        return named + ([Kept(path=self._path(place), why=f"{more} more that no manifest of this job lists")] if more > 0 else [])

    def _remove_revisions(self, folder: OpenFolder) -> bool:
        """Remove this job's files in each folder. Returns whether there were any."""
        found = False
        for name, inner in _folders(folder):
            entries = self._entries(inner)
            if entries is not None:
                found = True
                for relative in entries:
                    _remove_entry(inner, relative)
                inner.remove_listed([MANIFEST_NAME, RUN_MANIFEST_NAME])
                folder.remove_if_empty(name)
        return found

    def _entries(self, folder: OpenFolder) -> list[str] | None:
        """Return this job's entries, as paths relative to `folder`; None if no manifest there has its uid."""
        model, run = _json(folder, MANIFEST_NAME), _json(folder, RUN_MANIFEST_NAME)
        lineage = model.get("lineage")
        if isinstance(lineage, dict) and lineage.get("uid") == self._uid:
            return [entry["path"] for entry in _listed(model)]
        try:
            marked = RunFolder.model_validate(run)
        except ValidationError:
            return None
        if marked.uid != self._uid:
            return None
        return [path for path in _paths(folder) if any(fnmatchcase(path, pattern) for pattern in marked.entries)]

    def _remove_own_claim(self, kept: list[Kept]) -> list[Kept]:
        """Remove the claim that was created for this job, unless it is a link or not empty."""
        claim = self._own
        if claim is None or not claim.exists():
            return []
        with OpenFolder.at(claim) as folder:
            if folder is None:
                return []
            with folder.below(CACHE_FOLDER) as cache:
                if cache is not None:
                    for name in _DOWNLOADS:
                        cache.remove(name)
            folder.remove_if_empty(CACHE_FOLDER)
            left = folder.names()
        if not left and claim.is_symlink():
            return [Kept(path=claim, why="it is a link that this job did not create, to an empty folder")]
        if not left:
            claim.rmdir()
            return []
        if any(claim in item.path.parents for item in kept):
            return []
        return [Kept(path=claim, why=f"it holds files that this job did not create: {', '.join(left[:_NAMED])}")]


def _remove_entry(folder: OpenFolder, relative: str) -> None:
    """Remove a file or a folder. Of a folder with its own manifest, remove only the listed files."""
    parent, _, name = relative.rpartition("/")
    with folder.below(parent) as holder:
        if holder is None:
            return
        with holder.below(name) as inner:
            listed = [entry["path"] for entry in _listed(_json(inner, _CHECKPOINT_MANIFEST))] if inner is not None else []
            if inner is not None and listed:
                inner.remove_listed([_CHECKPOINT_MANIFEST, *listed])
        if listed:
            holder.remove_if_empty(name)
        else:
            holder.remove(name)
    if parent:
        folder.remove_if_empty(parent)


def _paths(folder: OpenFolder) -> list[str]:
    """Return the entries of a folder and those one level below, the deeper ones first."""
    deeper = [f"{name}/{entry}" for name, inner in _folders(folder) for entry in inner.names()]
    return deeper + folder.names()


def _folders(folder: OpenFolder) -> Iterator[tuple[str, OpenFolder]]:
    for name in folder.names():
        with folder.below(name) as inner:
            if inner is not None:
                yield name, inner


def _json(folder: OpenFolder, name: str) -> dict[str, Any]:
    """Return a manifest's map, or an empty one if the file is not a manifest."""
    try:
        found = json.loads(folder.read(name) or b"{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _listed(manifest: dict[str, Any]) -> list[dict[str, str]]:
    files = manifest.get("files")
    return [entry for entry in files if isinstance(entry, dict) and isinstance(entry.get("path"), str)] if isinstance(files, list) else []


def _read(stored: Object) -> FineTuneJob | None:
    """Read a stored job; None for one in a format that is no longer supported, whose files are not removed."""
    try:
        return parse(stored)
    except ValidationError:
        return None
