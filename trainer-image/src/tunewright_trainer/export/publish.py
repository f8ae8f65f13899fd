"""Publishes a model folder atomically.

Promises that PUBLISH_DIR is absent, or has a manifest and every file of it. The folder is assembled beside it, fsynced, its manifest
written last, then renamed. The earlier folder is kept until then, and restored after a crash in between.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from tunewright_contract.folders import MANIFEST_NAME, RUN_MANIFEST_NAME, ModelFile, ModelManifest
from tunewright_contract.reports import Artifact
from tunewright_trainer.common import verified_folder


def published(folder: Path) -> ModelManifest | None:
    """Return the manifest of a complete folder, after verifying every size and digest; None for any other folder.

    First restores an earlier folder that a crash left under its temporary name.
    """
    aside = _aside(folder)
    if aside.exists() and not folder.exists():
        aside.rename(folder)
    return verify(folder)


def verify(folder: Path) -> ModelManifest | None:
    """Return the manifest if every listed file exists with its size and SHA-256."""
    manifest = read_manifest(folder)
    return manifest if manifest is not None and all(_matches(folder, file) for file in manifest.files) else None


def read_manifest(folder: Path) -> ModelManifest | None:
    """Return the manifest without verifying the files; None if there is none."""
    try:
        return ModelManifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


@contextlib.contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside `folder` to assemble the model in. It is removed at the end unless `seal` has renamed it."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def list_files(assembled: Path) -> list[ModelFile]:
    """Return every file of the model with size and digest, after flushing it to the disk."""
    files = [file for file in verified_folder.files_in(assembled) if file != assembled / RUN_MANIFEST_NAME]
    return [ModelFile(**entry) for entry in verified_folder.entries(assembled, files)]


def seal(assembled: Path, folder: Path, manifest: ModelManifest) -> None:
    """Write the manifest as the last file and rename `assembled` to `folder`. Until the rename, the earlier folder stays."""
    (assembled / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2, exclude_none=True) + "\n", encoding="utf-8")
    _fsync(assembled / MANIFEST_NAME)
    (assembled / RUN_MANIFEST_NAME).unlink(missing_ok=True)  # from now on the model's own manifest names its job
    _fsync(assembled)
    _swap(assembled, folder)


def artifact(manifest: ModelManifest, folder: Path) -> Artifact:
    """Return the report's entry for a published folder. `path` is relative to the destination, two levels up: job, then revision."""
    listing = "".join(f"{file.sha256} {file.bytes} {file.path}\n" for file in manifest.files)
    return Artifact(
        path=f"{folder.parent.name}/{folder.name}",
        precision=manifest.precision,
        bytes=sum(file.bytes for file in manifest.files),
        sha256=hashlib.sha256(listing.encode()).hexdigest(),
        parity=manifest.parity,
    )


def _swap(assembled: Path, folder: Path) -> None:
    """Rename `assembled` to `folder`. A folder cannot be renamed over another, so the old one gets a temporary name first."""
    aside = _aside(folder)
    shutil.rmtree(aside, ignore_errors=True)
    if folder.exists():
        folder.rename(aside)
    try:
        assembled.rename(folder)
    except BaseException:
        if aside.exists():
            aside.rename(folder)
        raise
    _fsync(folder.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous")


def _matches(folder: Path, file: ModelFile) -> bool:
    path = folder / file.path
    return path.is_file() and path.stat().st_size == file.bytes and _sha256(path) == file.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
