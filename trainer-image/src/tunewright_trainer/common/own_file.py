"""Opens a regular file of a folder that others can write, or refuses it with a reason.

Promises never to wait (a FIFO would wait for a writer), to open no device, and to follow no link out of the folder. Links of a Hugging Face
cache snapshot to blobs of the same cache are allowed.

A folder on a shared claim has an owner: `mark` writes a manifest with the job's uid before any other file, and refuses a folder that
belongs to another job. `tunewright delete` reads the same manifest (see `tunewright_contract.folders`).
"""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import RUN_MANIFEST_NAME, RunFolder
from tunewright_contract.trainer_config import JobIdentity
from tunewright_trainer.common.exits import StageError

_SHOWN = 8  # neighbours of a missing file that are named
_SEARCHED = 1000  # entries of its folder that are looked through for them

# Errors that the user can correct. Others (EIO, ESTALE) come from the storage.
_BY_ERRNO = {
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EACCES: "cannot be read by this process",
    errno.EPERM: "cannot be read by this process",
    errno.ELOOP: "is a link to itself; copy the file there instead",
    errno.ENAMETOOLONG: "has a name that is too long",
    errno.ENXIO: "is not a regular file (a pipe, a socket or a device)",
}


class UnusableFileError(ValueError):
    """Why a file is not opened. The message has no path: the caller adds the name that the user knows."""


class OutsideFolderError(UnusableFileError):
    """A link leads out of the folder."""


def folder_of(data_dir: Path, file: str) -> Path:
    """Return the folder that a data file must be in: the mounted source, which is the first part of its path below `data_dir`."""
    parts = PurePosixPath(file).parts
    return data_dir / parts[0] if len(parts) > 1 and parts[0] != "/" and ".." not in parts else data_dir


def open_own(path: Path, folder: Path) -> BufferedReader:
    """Open for reading. Raises UnusableFileError for a file that is missing, not regular or outside; OSError if the storage fails."""
    with _told(path):
        target = _own(path, folder)
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    try:
        _require_regular(os.fstat(descriptor).st_mode)  # it may have been replaced meanwhile
    except UnusableFileError:
        file.close()
        raise
    return file


def require_own(path: Path, folder: Path) -> None:
    """Raise as `open_own` does, without opening."""
    with _told(path):
        _own(path, folder)


def _own(path: Path, folder: Path) -> str:
    """Return the target of the path."""
    if "\0" in str(path):
        raise UnusableFileError("has a name with a zero byte")
    target = os.path.realpath(path, strict=True)
    _require_inside(target, folder)
    _require_regular(os.lstat(target).st_mode)  # before opening, because opening a device can have side effects
    return target


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Return the message for an error that the user can correct."""
    try:
        yield
    except FileNotFoundError:
        raise UnusableFileError(_missing(path)) from None
    except OSError as error:
        if error.errno not in _BY_ERRNO:
            raise
        raise UnusableFileError(_BY_ERRNO[error.errno]) from None


def sha256(path: Path, folder: Path) -> bytes:
    """The digest of a file's content. Raises as `open_own` does."""
    with open_own(path, folder) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _require_inside(target: str, folder: Path) -> None:
    own = Path(os.path.realpath(folder, strict=True))
    blobs = [above.parent.parent / "blobs" for above in (own / "file").parents if above.parent.name == "snapshots"]
    if not any(Path(target).is_relative_to(root) for root in (own, *blobs)):
        raise OutsideFolderError("is a link out of its folder; copy the file there, or name the file that it links to")


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise UnusableFileError("is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise UnusableFileError("is not a regular file (a pipe, a socket or a device)")


def _missing(path: Path) -> str:
    if path.is_symlink():
        return "is a link to a file that does not exist"
    try:
        with os.scandir(path.parent) as entries:
            beside = sorted(entry.name for entry, _ in zip(entries, range(_SEARCHED), strict=False))[:_SHOWN]
    except OSError:
        beside = []
    return "the file does not exist" + (f"; the folder has {', '.join(beside)}" if beside else "")


# The entries that Train and Export write below OUTPUT_DIR.
RUN_ENTRIES = [
    *("metrics.jsonl", "final", "merged", "base"),
    *("checkpoints/checkpoint-*", "checkpoints/.partial-*", "checkpoints/.replaced-*"),
    *(".partial-final", ".replaced-final", ".merged.partial", ".base-partial", ".parity-*"),
]


def mark(folder: Path, job: JobIdentity, *, entries: list[str]) -> None:
    """Create `folder` and record this job as its owner. Raises `StageError` if it belongs to another job."""
    folder.mkdir(parents=True, exist_ok=True)
    own = RunFolder(namespace=job.namespace, job=job.name, uid=job.uid, revision=job.revision, entries=entries)
    file = folder / RUN_MANIFEST_NAME
    found = _read(file)
    if found is not None and found.uid != job.uid:
        raise StageError(
            ExitCode.CONFIGURATION,
            "FolderTaken",
            f"{folder} belongs to FineTuneJob {found.namespace}/{found.job} (uid {found.uid}), and this job's uid is {job.uid}",
            "Use another claim or another path in output, or another metadata.name.",
        )
    if found != own:
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        partial.write_text(own.model_dump_json(indent=1) + "\n", encoding="utf-8")
        partial.replace(file)


def _read(file: Path) -> RunFolder | None:
    try:
        return RunFolder.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
