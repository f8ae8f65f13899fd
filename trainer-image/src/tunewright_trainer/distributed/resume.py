"""The start of training: the first step, or the newest verified checkpoint with the same inputs."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed import checkpoint, process_group, universal
from tunewright_trainer.tuning.inputs import Inputs, describe

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartingPoint:
    """`inputs` are recorded in each checkpoint and in `final/`. Without `checkpoint` training begins at the first step."""

    inputs: Inputs
    checkpoint: Path | None = None
    step: int | None = None


def starting_point(settings: Settings) -> StartingPoint:
    """Return the same starting point on every rank; every rank must call this. Raises `StageError` if the checkpoint does not fit."""
    first = process_group.rank() == 0
    inputs = process_group.from_rank_zero(describe(settings) if first else None)
    if first:
        checkpoint.prune(settings.checkpoints_dir, keep=None)  # removes incomplete folders of an interrupted run
    found = checkpoint.choose(settings.checkpoints_dir, inputs)
    if found is None:
        return StartingPoint(inputs)
    folder, step = found
    universal.require_convertible(folder, settings)
    log.info("resuming from %s", folder.name)
    return StartingPoint(inputs, folder, step)
