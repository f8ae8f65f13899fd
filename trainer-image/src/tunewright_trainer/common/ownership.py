"""Ownership of a folder on a shared claim: a manifest with the job's uid, written before any other file.

Refuses a folder that belongs to another job. `tunewright delete` reads the same manifest (see `tunewright_contract.run_folder`).
"""

import os
from pathlib import Path

from pydantic import ValidationError

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.run_folder import RUN_MANIFEST_NAME, RunFolder
from tunewright_contract.trainer_config import JobIdentity
from tunewright_trainer.common.exits import StageError

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
