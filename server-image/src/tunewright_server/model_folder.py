"""A model folder, whose files are compared with its manifest by sha256 before anything is loaded."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import MANIFEST_NAME, UNKNOWN_VERSION, ModelFile, ModelManifest
from tunewright_server.refusal import RefusalError

_EXPORT_AGAIN = "export the model again, or copy the whole folder again"


@dataclass(frozen=True)
class ModelFolder:
    """A folder whose manifest is readable and whose files are all there with the right sizes."""

    path: Path
    manifest: ModelManifest

    @property
    def graphs(self) -> tuple[Path, ...]:
        return tuple(self.path / name for name in self.manifest.graph.files)

    @property
    def graph(self) -> Path:
        """The graph of a model that has one."""
        (only,) = self.graphs
        return only

    @property
    def created(self) -> int:
        """When the manifest was written, in Unix time."""
        return int((self.path / MANIFEST_NAME).stat().st_mtime)

    @property
    def weight_bytes(self) -> int:
        """Size on disk of graphs and weights."""
        return sum(file.bytes for file in self.manifest.files if file.path.startswith(self.manifest.graph.files))


def open_folder(path: Path) -> ModelFolder:
    """Read the manifest and compare names and sizes. This is cheap, so it runs before the port is opened.

    Raises `RefusalError`: 64 if there is no such folder or manifest, 65 if it cannot be used.
    """
    if not path.is_dir():
        raise RefusalError(
            "ModelFolderMissing",
            f"the model folder {path} does not exist",
            suggestion=f"set {environment.MODEL_DIR} to a folder that the export stage has published",
        )
    manifest = _read_manifest(path / MANIFEST_NAME)
    for file in manifest.files:
        _compare_size(path, file)
    for name in (*manifest.graph.files, "tokenizer.json"):
        if not any(file.path == name for file in manifest.files):
            raise _damaged("ModelFileMissing", f"{MANIFEST_NAME} lists no {name}, which a graph of kind {manifest.graph.kind} needs")
    return ModelFolder(path, manifest)


def verify_contents(folder: ModelFolder) -> None:
    """Compare every file's sha256. Reads everything once, which also warms the page cache. Raises `RefusalError` (65)."""
    for file in folder.manifest.files:
        with (folder.path / file.path).open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != file.sha256:
            raise _damaged("ModelFileCorrupted", f"{file.path} has sha256 {found[:12]}…, {MANIFEST_NAME} says {file.sha256[:12]}…")


def _read_manifest(path: Path) -> ModelManifest:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RefusalError(
            "ManifestMissing",
            f"{path} does not exist, so this is not a model folder or its export did not finish",
            suggestion=f"set {environment.MODEL_DIR} to the folder that holds {MANIFEST_NAME}, or run the export again",
        ) from None
    except (UnicodeDecodeError, OSError) as error:
        raise _damaged("ManifestCorrupted", f"{path} cannot be read: {error}") from error
    try:
        return ModelManifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == UNKNOWN_VERSION:
            raise RefusalError(
                "ManifestVersionUnknown",
                f"{path}: {first['msg']}",
                suggestion="use the server image of the release that exported the model",
            ) from error
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _damaged("ManifestCorrupted", f"{path} is not a model manifest: {where}: {first['msg']}") from error


def _compare_size(folder: Path, file: ModelFile) -> None:
    path = folder / file.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise _damaged("ManifestCorrupted", f"{MANIFEST_NAME} lists {file.path!r}, which lies outside the model folder")
    if not path.is_file():
        raise _damaged("ModelFileMissing", f"{file.path} is listed in {MANIFEST_NAME} and is not in {folder}")
    found = path.stat().st_size
    if found != file.bytes:
        word = "truncated" if found < file.bytes else "longer than its manifest lists"
        raise _damaged("ModelFileTruncated", f"{file.path} is {word}: {found} bytes, {MANIFEST_NAME} says {file.bytes}")


def _damaged(reason: str, message: str) -> RefusalError:
    return RefusalError(reason, message, suggestion=_EXPORT_AGAIN, exit_code=ExitCode.DATA)
