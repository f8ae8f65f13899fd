"""The end of a stage: one error type, one table from exceptions to exit codes, one termination message.

Promises that every failure ends with an exit code of the contract, a reason and a way out. An exception that is not in the table is a
defect of Tunewright, and is reported as one.
"""

import errno
import fcntl
from collections.abc import Iterator
from pathlib import Path

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure, InvalidReportError, Report, dump, load

_DISK = (
    ExitCode.RETRY,
    "DiskFull",
    "Free space on the full volume (the output claim, or the node's disk for temporary files), or enlarge it. Checkpoints stay intact.",
)
_PEER = (ExitCode.RETRY, "PeerLost", "Another rank ended; its own termination message has the cause. The gang resumes from its checkpoint.")
_MEMORY = (
    ExitCode.OUT_OF_MEMORY,
    "OutOfMemory",
    "Raise resources.limits.memory of check, workers or export, or add workers for training. Another batch needs a job under another name.",
)
NAMELESS = frozenset({"PeerLost", "InternalError"})  # reasons of processes that do not have the cause
_HUB_AWAY = (
    ExitCode.RETRY,
    "HubUnreachable",
    "Give the pods network access to the hub, fill the cache volume beforehand, or use a pvc model source.",
)
_HUB_TOKEN = (
    ExitCode.CONFIGURATION,
    "HubForbidden",
    "Provide a token that can read the repository (HF_TOKEN from a Secret). The present one is missing, expired or of another account.",
)
_HUB_MISSING = (
    ExitCode.CONFIGURATION,
    "ModelNotFound",
    "Check model.source.huggingFace.repo; without a token that has access, a private repository also appears to be missing.",
)

# Exceptions by qualified name, so that their libraries need not be imported. Base classes match, too; the most derived one counts.
_BY_TYPE: dict[str, tuple[ExitCode, str, str]] = {
    "torch.OutOfMemoryError": _MEMORY,
    "builtins.MemoryError": _MEMORY,
    "torch.distributed.DistNetworkError": _PEER,
    "torch.distributed.DistStoreError": _PEER,
    "torch.distributed.DistBackendError": _PEER,
    "huggingface_hub.errors.GatedRepoError": (
        ExitCode.CONFIGURATION,
        "ModelGated",
        "Accept the model's licence on the hub and provide a token of that account (HF_TOKEN from a Secret).",
    ),
    "huggingface_hub.errors.RepositoryNotFoundError": _HUB_MISSING,
    "huggingface_hub.errors.RevisionNotFoundError": (
        ExitCode.CONFIGURATION,
        "RevisionNotFound",
        "Set model.source.huggingFace.revision to a branch, tag or commit that exists.",
    ),
    "huggingface_hub.errors.HfHubHTTPError": (
        ExitCode.RETRY,
        "HubRefused",
        "Read the hub's answer above; 429 and 5xx pass with time.",
    ),
    "huggingface_hub.errors.EntryNotFoundError": _HUB_MISSING,
    "huggingface_hub.errors.LocalEntryNotFoundError": _HUB_AWAY,
    "huggingface_hub.errors.OfflineModeIsEnabled": _HUB_AWAY,
    "httpx2.TransportError": _HUB_AWAY,
}

_STORAGE = (ExitCode.RETRY, "StorageFailed", "Check the volume: it disappeared, became read-only or returned an error.")
_BY_ERRNO = {
    errno.ENOSPC: _DISK,
    errno.EDQUOT: _DISK,
    errno.EFBIG: _DISK,
    errno.EIO: _STORAGE,
    errno.EROFS: _STORAGE,
    errno.ESTALE: _STORAGE,
    errno.ENOMEM: _MEMORY,
}

# Native code raises these as a RuntimeError or its own error type, so only the text identifies them.
_BY_TEXT: tuple[tuple[str, tuple[ExitCode, str, str]], ...] = (
    ("No space left on device", _DISK),
    ("File too large (os error 27)", _DISK),
    ("Disk quota exceeded", _DISK),
    ("PytorchStreamWriter failed writing file", _DISK),
    ("basic_ios::clear: iostream error", _DISK),  # torch.save, when the archive's end cannot be written
    ("unexpected pos", _DISK),  # the same in other releases
    ("DefaultCPUAllocator: can't allocate memory", _MEMORY),
    ("DefaultCPUAllocator: not enough memory", _MEMORY),
    ("Connection closed by peer", _PEER),
    ("Connection reset by peer", _PEER),
    ("gloo/transport", _PEER),
    ("Broken pipe", _PEER),
)


class StageError(Exception):
    """A failure with a cause and a way out. `reason` is CamelCase and stable; `suggestion` is the way out."""

    def __init__(self, code: ExitCode, reason: str, message: str, suggestion: str, *, rank: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.suggestion = suggestion
        self.rank = rank  # the failed rank, if it is another one


def killed_for_memory(rank: int) -> StageError:
    """Return the error for a worker that the kernel has killed."""
    code, reason, suggestion = _MEMORY
    return StageError(
        code, reason, f"rank {rank} was killed by the kernel: its pod, or the whole node, ran out of memory", suggestion, rank=rank
    )


def stage_error(error: BaseException) -> StageError:
    """Translate any exception by itself or by its causes. One that is not in a table is a BUG."""
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, StageError):
            return cause
    for cause in chain:
        found = _look_up(cause)
        if found is not None:
            code, reason, suggestion = found
            return StageError(code, reason, f"{type(cause).__name__}: {cause}", suggestion)
    return StageError(
        ExitCode.BUG,
        "InternalError",
        f"{type(error).__name__}: {error}",
        "This is a defect of Tunewright: please report it with this pod's log, which holds the traceback.",
    )


def failure(error: StageError, *, rank: int | None = None) -> Failure:
    """The termination message for an error."""
    return Failure(reason=error.reason, message=error.message, rank=rank if error.rank is None else error.rank, suggestion=error.suggestion)


def write_termination(report: Report, path: Path) -> None:
    """Write the termination message. Of several failures on one pod, the first with a cause is kept, because the others follow from it.

    It is written in place, because in a pod the file is a mount, which a rename cannot replace.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        said = _parse(file.read())
        if isinstance(report, Failure) and isinstance(said, Failure) and (said.reason not in NAMELESS or report.reason in NAMELESS):
            return
        file.truncate(0)
        file.write(dump(report))


def read_termination(path: Path) -> Report | None:
    """Return the termination message so far, or None."""
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def clear_termination(path: Path) -> None:
    """Remove the termination message of an earlier process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")


def _parse(text: str) -> Report | None:
    try:
        return load(text) if text else None
    except InvalidReportError:
        return None  # not a report of the trainer


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)


def _look_up(error: BaseException) -> tuple[ExitCode, str, str] | None:
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    for kind in type(error).__mro__:
        found = _BY_TYPE.get(f"{kind.__module__}.{kind.__qualname__}")
        if found is not None:
            status = getattr(getattr(error, "response", None), "status_code", None)
            return _HUB_TOKEN if found[1] == "HubRefused" and status in {401, 403} else found
    text = str(error)
    return next((outcome for fragment, outcome in _BY_TEXT if fragment in text), None)
