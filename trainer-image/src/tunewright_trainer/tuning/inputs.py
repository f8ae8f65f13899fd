"""Identifies the inputs of a run, so that no other run resumes its checkpoint.

Promises to report another base model, other data or other settings than the checkpoint's before weights are loaded. DeepSpeed would fail on
shapes, or silently train on. Large weights are sampled: this finds a rebuilt or replaced model, but not deliberate tampering.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.data.reading import file_sha256
from tunewright_trainer.tuning.arguments import zero_stage
from tunewright_trainer.tuning.base_contents import open_model_file
from tunewright_trainer.tuning.base_model import base_folder
from tunewright_trainer.tuning.tokenizer import TOKENIZER_FILES

Inputs = dict[str, dict[str, Any]]  # part of the job -> name of an input -> its identity; plain JSON

BASE_MODEL, DATA, SETTINGS = "base model", "data", "settings"
_SAMPLE = 2**20  # bytes read at each end of a weights file
_SHOWN = 5  # names per part; a termination message has 4 KiB

# Settings of logging and saving, which do not change the model: a run can continue with others.
_BOOKKEEPING = {
    *("save_strategy", "save_steps", "save_total_limit", "save_on_each_node"),
    *("logging_strategy", "logging_steps", "logging_first_step", "report_to", "disable_tqdm"),
    *("ddp_timeout", "dataloader_num_workers", "dataloader_prefetch_factor", "dataloader_pin_memory"),
}
# The division of a global batch, which changes with the number of processes.
_SHARES = {"per_device_train_batch_size", "gradient_accumulation_steps"}


def describe(settings: Settings) -> Inputs:
    """Return the job's inputs. Reads at most 2 MiB of each weights file, so that it takes seconds for any size.

    Raises `StageError` for a file that is not a regular file of its folder, OSError if the storage fails.
    """
    return {BASE_MODEL: _base_model(settings), DATA: _data(settings), SETTINGS: _settings(settings)}


def require_same(written: Mapping[str, Any], now: Inputs, *, checkpoint: Path) -> None:
    """Refuse to resume from a checkpoint with other inputs. Raises `StageError` with the differences."""
    again = f"to train again, give the job another name, or delete it with its {checkpoint.parent.name}/."
    if not written:
        raise _refuse(f"{checkpoint.name} does not record its inputs: another release wrote it", f"Use that release; {again}")
    differing = {part: _differing(written.get(part, {}), found) for part, found in now.items()}
    named = [f"{part} ({_some(names)})" for part, names in differing.items() if names]
    if named:
        restore = "Restore them as they were" if differing[BASE_MODEL] or differing[DATA] else "Set them back"
        message = f"{checkpoint.name} has other inputs than this job. Differences: {'; '.join(named)}"
        raise _refuse(message, f"{restore} to resume; {again}")


def global_batch_size(settings: Settings) -> int:
    """Return the examples per optimizer step over all ranks; absent settings are `TrainingArguments`' defaults."""
    training = settings.config.training
    per_pass = int(training.get("per_device_train_batch_size", 8)) * settings.config.world_size
    return per_pass * int(training.get("gradient_accumulation_steps", 1))


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "CheckpointInputs", message, suggestion)


def _base_model(settings: Settings) -> dict[str, str]:
    model = settings.config.model
    folder = base_folder(settings, weights=False)
    if model.hub is not None:
        return {model.hub.repo: folder.name}  # the hub's cache names a snapshot after its commit
    small = [folder / name for name in ("config.json", *TOKENIZER_FILES)]
    found = {path.name: _sha256(path) for path in small if path.is_file()}
    if model.from_scratch:
        return found  # its weights are drawn from the seed
    return found | {path.name: _sampled_sha256(path) for path in sorted(folder.glob("*.safetensors"))}


def _data(settings: Settings) -> dict[str, str]:
    """Return the data's identity by field, not by path, because the same files may have been moved."""
    data = settings.config.data
    splits = {"train": data.train, "validation": data.validation}
    return {f"{split}[{index}]": file_sha256(file, settings).hex() for split, files in splits.items() for index, file in enumerate(files)}


def _settings(settings: Settings) -> dict[str, Any]:
    """Return one entry per setting that affects training, also for defaults, because another release can have other defaults."""
    config = settings.config
    sections = {
        "model": config.model.model_dump(mode="json", exclude={"hub"}),
        "data": config.data.model_dump(mode="json", exclude={"test"}),
        "method": config.method.model_dump(mode="json"),
        "training": {
            **{name: value for name, value in config.training.items() if name not in _BOOKKEEPING | _SHARES},
            "global_batch_size": global_batch_size(settings),
        },
        "deepspeed": {"stage": zero_stage(settings)},
    }
    return {"task": config.task} | {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}


def _sha256(path: Path) -> str:
    with open_model_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sampled_sha256(path: Path) -> str:
    """Return a SHA-256 over the size and both ends of a file: the list of tensors is at the beginning of safetensors files."""
    with open_model_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        sampled = hashlib.sha256(f"{size}:".encode() + file.read(_SAMPLE))
        file.seek(max(0, size - _SAMPLE))
        sampled.update(file.read(_SAMPLE))
    return sampled.hexdigest()
