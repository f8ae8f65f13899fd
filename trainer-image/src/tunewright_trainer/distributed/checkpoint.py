"""Checkpoints: written to a staging folder, verified, then renamed. Old ones are removed only afterwards. Training resumes from the newest
valid one.

Promises that `checkpoint-<step>` is complete or absent, so that a kill, a full disk or a lost peer costs at most the steps since the last
one. All ranks must share the folder, because each writes its own ZeRO shards.
"""

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common import verified_folder
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.distributed import process_group
from tunewright_trainer.tuning.inputs import Inputs, require_same

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-(\d+)")
STAGED = ".partial-"  # never counts as a checkpoint, and is removed at the next start


def staging_folder(checkpoints: Path, step: int) -> Path:
    """Return the folder in which every rank writes a checkpoint before it is complete."""
    return checkpoints / f"{STAGED}{step}"


def commit(staged: Path, checkpoints: Path, *, step: int, inputs: Inputs) -> Path:
    """Hash, write the manifest, rename. Every rank must call this after it has written its own files. Returns the checkpoint's folder.

    The ranks share the hashing; rank 0 writes the manifest last. Raises OSError; the older checkpoints are then intact.
    """
    final = checkpoints / f"checkpoint-{step}"
    process_group.barrier()  # every rank has written its files
    files = verified_folder.files_in(staged)
    mine = verified_folder.entries(staged, files[process_group.rank() :: process_group.world_size()])
    parts = process_group.gather(mine)
    if process_group.rank() == 0:
        listed = [entry for part in parts for entry in part]
        verified_folder.seal(staged, final, listed, step=step, worldSize=process_group.world_size(), inputs=inputs)
        log.info("checkpoint-%d is complete (%d files)", step, len(files))
    process_group.barrier()  # no rank continues before the rename
    return final


def prune(checkpoints: Path, *, keep: int | None, also_keep: "Iterable[Path]" = ()) -> None:
    """Remove the oldest beyond `keep` (None: keep all), and staging folders of interrupted runs. Rank 0 only."""
    for leftover in (*checkpoints.glob(f"{STAGED}*"), *checkpoints.glob(".replaced-*")):
        verified_folder.remove_tree(leftover)
    protected = {path.name for path in also_keep}
    if keep is not None and keep > 0:
        for _, folder in _by_step(checkpoints)[:-keep]:
            if folder.name not in protected:
                verified_folder.remove_tree(folder)


def newest_verified(checkpoints: Path) -> Path | None:
    """Return the newest checkpoint whose manifest verifies. Each newer one is named in the log."""
    for _, folder in reversed(_by_step(checkpoints)):
        fault = verified_folder.verify(folder)
        if fault is None:
            return folder
        log.warning("%s is not used: %s", folder.name, fault)
    return None


def choose(checkpoints: Path, inputs: Inputs) -> tuple[Path, int] | None:
    """Return the checkpoint to resume from and its step: rank 0's choice, on every rank. Raises `StageError` if its inputs differ."""
    found = newest_verified(checkpoints) if process_group.rank() == 0 else None
    folder = process_group.from_rank_zero(found)
    if folder is None:
        return None
    # Each rank loads pickles from it, perhaps through its own mount, so it must find the files that rank 0 has hashed.
    faults = [fault for fault in process_group.gather(verified_folder.listing_fault(folder)) if fault is not None]
    if faults:
        raise StageError(
            ExitCode.RETRY, "CheckpointChanged", f"{folder.name}: {faults[0]}", "Do not write to the output claim while a job trains."
        )
    facts = verified_folder.read(folder)
    require_same(facts.get("inputs", {}), inputs, checkpoint=folder)
    return folder, int(facts["step"])


def of_other_world_size(folder: Path) -> bool:
    """Return whether another number of processes wrote the checkpoint."""
    return written_by(folder) != process_group.world_size()


def written_by(folder: Path) -> int:
    """Return the number of processes that wrote a checkpoint."""
    return int(verified_folder.read(folder)["worldSize"])


def _by_step(checkpoints: Path) -> list[tuple[int, Path]]:
    found = ((_NAME.fullmatch(path.name), path) for path in checkpoints.glob("checkpoint-*"))
    return sorted((int(match[1]), path) for match, path in found if match and path.is_dir())
