"""Checkpoints for a gang of another size: joins ZeRO's shards into DeepSpeed's universal form (arXiv:2406.18820), and loads that.

Promises a converted copy that never counts as a checkpoint, and that is removed when every rank has read it, or at the next start.
It takes about 12 bytes per trained parameter (fp32 weights and Adam's two moments) and a copy of the model states. The conversion takes as
much again. Without ZeRO nothing is sharded or converted.
"""

import argparse
import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from tunewright_contract.capabilities.optimizers import CONVERTIBLE_OPTIMIZERS, DEFAULT_OPTIMIZER
from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common import verified_folder
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed import process_group
from tunewright_trainer.distributed.checkpoint import STAGED, of_other_world_size, written_by
from tunewright_trainer.tuning.arguments import zero_stage

if TYPE_CHECKING:
    from deepspeed import DeepSpeedEngine
    from torch.optim import Optimizer

log = logging.getLogger(__name__)

_BESIDE_THE_SHARDS = ("scheduler.pt",)  # files that transformers reads from the same folder


def require_convertible(checkpoint: Path, settings: Settings) -> None:
    """Raise `StageError` for shards that cannot be partitioned again for this gang."""
    if not zero_stage(settings) or not of_other_world_size(checkpoint):
        return
    optimizer = str(settings.config.training.get("optim", DEFAULT_OPTIMIZER))
    if optimizer in CONVERTIBLE_OPTIMIZERS and "optimizer" not in (settings.config.deepspeed or {}):
        return
    before = written_by(checkpoint)
    raise StageError(
        ExitCode.CONFIGURATION,
        "CheckpointWorldSize",
        f"{checkpoint.name} was written by {before} processes, and there are {process_group.world_size()} now; under ZeRO only the state "
        f"of {' and '.join(CONVERTIBLE_OPTIMIZERS)} can be partitioned again, not that of training.optim {optimizer}",
        f"Set workers.replicas back, so that there are {before} processes.",
    )


@contextlib.contextmanager
def converted(checkpoint: Path) -> Iterator[Path]:
    """Yield a folder, made by rank 0, that DeepSpeed loads instead of the checkpoint. Every rank must enter; it is removed at the end."""
    folder = checkpoint.parent / f"{STAGED}universal-{checkpoint.name}"
    if process_group.rank() == 0:
        _convert(checkpoint, folder)
    process_group.barrier()
    yield folder
    process_group.barrier()  # every rank has read it; if one fails, all end, and the next start removes the folder
    if process_group.rank() == 0:
        verified_folder.remove_tree(folder)


@contextlib.contextmanager
def load_universal(config: dict[str, Any], engine: "DeepSpeedEngine | None") -> Iterator[None]:
    """Make DeepSpeed load universal checkpoints only: the existing engine, or the one that is created from `config` during the block.

    An engine does so until `restore_groups` resets it.
    """
    config["checkpoint"] = {**config.get("checkpoint", {}), "load_universal": True}
    if engine is not None:
        engine._config.load_universal_checkpoint = True  # noqa: SLF001 - read at each load, and there is no other way to set it
    yield
    config["checkpoint"]["load_universal"] = False


def group_settings(optimizer: "Optimizer") -> list[dict[str, Any]]:
    """Return the settings of each parameter group, such as weight decay. Empty groups are left out, because DeepSpeed drops them."""
    groups = (group for group in optimizer.param_groups if group["params"])
    return [{name: value for name, value in group.items() if name not in ("params", "lr")} for group in groups]


def restore_groups(engine: "DeepSpeedEngine", groups: list[dict[str, Any]]) -> None:
    """Correct two errors of DeepSpeed 0.19.8 under stage 3: all groups get the first one's settings, and share one counter of steps."""
    engine._config.load_universal_checkpoint = False  # noqa: SLF001 - the next checkpoint is this gang's own
    optimizer = engine.optimizer.optimizer
    for group, settings in zip(optimizer.param_groups, groups, strict=True):
        group.update(settings)
    for state in optimizer.state.values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].clone()


def _convert(checkpoint: Path, folder: Path) -> None:
    from deepspeed.checkpoint.ds_to_universal import main as ds_to_universal

    shards = checkpoint / (checkpoint / "latest").read_text(encoding="utf-8").strip()
    log.info("%s: joining the shards of %d processes", checkpoint.name, written_by(checkpoint))
    verified_folder.remove_tree(folder)
    folder.mkdir()
    for name in _BESIDE_THE_SHARDS:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, folder / name)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        ds_to_universal(
            argparse.Namespace(
                input_folder=str(shards),
                output_folder=str(folder / shards.name),
                num_extract_workers=1,  # in this process, because a fork of a process that has joined a group can hang
                num_merge_workers=1,
                keep_temp_folder=False,
                strict=True,
                inject_missing_state=True,  # metadata of Megatron's models about tensor parallelism, which these models lack
            )
        )
