"""Checks a base model's folder before a library opens it: only its own files, and plausible sizes.

Promises that loading reads no other model and no file outside the folder. A snapshot of the hub's cache links to the blobs of the same
cache; no other link may leave the folder.
"""

import json
from io import BufferedReader
from pathlib import Path
from typing import Any

from tunewright_contract.base import LARGEST_CONFIG
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.text import one_line
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.own_file import OutsideFolderError, UnusableFileError, open_own, require_own

# By key of config.json, in each architecture's own words. Libraries make one object per layer, even without weights.
GREATEST_SIZES = {
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 4096),
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "intermediate_size"), 2**22),
    **dict.fromkeys(("num_local_experts", "num_experts", "n_routed_experts"), 2**16),
    "vocab_size": 2**24,
}
GREATEST_NUMBER = 2**63 - 1  # of any whole number in config.json: what a tensor's shape can hold
_INDEX_BYTES = 64 * 2**20
_READ = ("*.safetensors", "*.json", "*.model", "*.txt", "*.jinja")
ADAPTER_CONFIG = "adapter_config.json"


def require_own_files(folder: Path, *, weights: bool = True) -> None:
    """Refuse an adapter, links that leave the folder, and an index of other files than the folder's. Raises `StageError`.

    `weights=False`: the shards that an index names need not be there, but must be names of the folder's own.
    """
    if (folder / ADAPTER_CONFIG).exists():
        raise adapter_refused(str(folder))
    for path in sorted({path for pattern in _READ for path in folder.glob(pattern)}):
        _require_own(path, folder)
    for index in sorted(folder.glob("*.safetensors.index.json")):
        _require_own_shards(index, there=weights)


def require_plausible_sizes(config: Path) -> None:
    """Look at config.json before any library does. Raises `StageError` naming the key."""
    _require_own(config, config.parent)
    document = _read_json(config, LARGEST_CONFIG)
    _require_bounded_numbers(config, document)
    text = document.get("text_config")
    for part in (document, text if isinstance(text, dict) else {}):
        for key, greatest in GREATEST_SIZES.items():
            value = part.get(key)
            if value is not None and (type(value) is not int or not 1 <= value <= greatest):
                raise _refuse(
                    "ModelUnsupported",
                    f"{config}: {key} is {json.dumps(value)[:80]}, not a whole number from 1 to {greatest}",
                    "Restore the config.json that belongs to the weights.",
                )


def open_model_file(path: Path) -> BufferedReader:
    """Open a file of a base's folder for reading, where nothing else has looked at it. Raises `StageError`."""
    try:
        return open_own(path, path.parent)
    except UnusableFileError as error:
        raise _refuse("ModelIncomplete", f"{path}: {error}", "Copy the model's own file into the folder.") from error


def _require_bounded_numbers(config: Path, document: dict[str, Any]) -> None:
    left: list[tuple[str, Any]] = [("", document)]
    while left:
        key, value = left.pop()
        if isinstance(value, dict):
            left += value.items()
        elif isinstance(value, list):
            left += [(key, item) for item in value]
        elif isinstance(value, int) and abs(value) > GREATEST_NUMBER:
            raise _refuse(
                "ModelUnsupported",
                f"{config}: {one_line(key, 80)} is a whole number beyond {GREATEST_NUMBER}",
                "Restore the config.json that belongs to the weights.",
            )


def adapter_refused(where: str) -> StageError:
    """The refusal of a base that is an adapter."""
    return _refuse(
        "ModelIsAdapter",
        f"{where} holds {ADAPTER_CONFIG}: it is an adapter, and loading it would load another base model",
        f"Merge the adapter into its base first, or remove {ADAPTER_CONFIG} if the folder holds whole weights.",
    )


def _require_own(path: Path, folder: Path) -> None:
    try:
        require_own(path, folder)
    except OutsideFolderError as error:
        raise _refuse("ModelOutsideFolder", f"{path}: {error}", "Copy the file itself into the folder.") from error
    except UnusableFileError as error:
        raise _refuse("ModelIncomplete", f"{path}: {error}", "Copy the model's own file into the folder.") from error


def _require_own_shards(index: Path, *, there: bool) -> None:
    shards = _read_json(index, _INDEX_BYTES).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise _refuse("WeightsUnreadable", f"{index} has no weight_map", "Copy the index again.")
    for shard in {json.dumps(value): value for value in shards.values()}.values():
        shown = repr(shard)[:120]
        if not isinstance(shard, str) or Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise _refuse(
                "ModelOutsideFolder", f"{index} names {shown}, which is no *.safetensors file of its folder", "Copy the index again."
            )
        if "\0" in shard or (there and not (index.parent / shard).is_file()):
            raise _refuse("WeightsMissing", f"{index} names {shown}, which is not in the folder", "Copy the missing weights there.")


def _read_json(path: Path, greatest: int) -> dict[str, Any]:
    try:
        with open_model_file(path) as file:
            raw = file.read(greatest + 1)
        document = json.loads(raw) if len(raw) <= greatest else None
    except (OSError, ValueError, RecursionError) as error:
        raise _refuse("ModelUnsupported", f"{path} cannot be read as JSON: {str(error)[:200]}", "Copy the file again.") from error
    if not isinstance(document, dict):
        what = "not a JSON object" if len(raw) <= greatest else f"longer than {greatest} bytes"
        raise _refuse("ModelUnsupported", f"{path} is {what}", "Copy the file again.")
    return document


def _refuse(reason: str, message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, reason, message, suggestion)
