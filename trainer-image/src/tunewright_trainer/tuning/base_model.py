"""The base model, from a folder or the hub, without files that could run code.

Promises a folder of safetensors, JSON and tokenizer files on this disk before anything is loaded, so that later steps have only one case.
Refuses pickled weights.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.generation_config import GenerationConfigError, GenerationDefaults, generation_defaults_in
from tunewright_contract.text import one_line
from tunewright_contract.trainer_config import HubModel
from tunewright_trainer.common.exits import StageError, stage_error
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.base_contents import ADAPTER_CONFIG, adapter_refused, require_own_files, require_plausible_sizes
from tunewright_trainer.tuning.master_weights import needs_fp32_base

if TYPE_CHECKING:
    import torch
    from transformers import BitsAndBytesConfig, PretrainedConfig, PreTrainedModel

T = TypeVar("T")

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_HUB_FILES = ["*.json", "*.model", "*.txt", "*.jinja"]  # no *.py: model.trustRemoteCode is refused
_SHOWN_CAUSE = 500  # characters of a library's message
_RANDOM_BASE = "base"


def base_folder(settings: Settings, *, weights: bool = True) -> Path:
    """Return the base model as a folder on this disk. Only needed files are fetched from the hub, with `weights=False` no weights.

    Its files are checked before any is loaded (`base_contents`). Raises `StageError` with the source for a missing folder, repository,
    revision, licence, token or network, and for files that are not the folder's own.
    """
    model = settings.config.model
    folder = _snapshot(model.hub, weights=weights) if model.hub is not None else settings.model_dir
    if folder is None or not folder.is_dir():
        raise _refuse("ModelNotFound", f"base model folder {folder} does not exist", "Check the path or the volume of model.source.")
    require_own_files(folder, weights=weights and not model.from_scratch)
    return folder


def load_config(settings: Settings) -> "PretrainedConfig":
    """Return the architecture's configuration. Raises `StageError` if config.json is missing, unreadable or of an unknown architecture."""
    from transformers import AutoConfig

    folder = base_folder(settings, weights=False)
    if not (folder / "config.json").is_file():
        raise _refuse("ModelIncomplete", f"{folder} has no config.json", "Point model.source at the folder that holds config.json.")
    require_plausible_sizes(folder / "config.json")
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=settings.config.model.trust_remote_code)
    except MemoryError:
        raise
    except Exception as error:  # each architecture raises its own errors for invalid values
        raise _refuse(
            "ModelUnsupported",
            f"{folder / 'config.json'}: {type(error).__name__}: {one_line(str(error), _SHOWN_CAUSE)}",
            f"Use an architecture of transformers' {TASKS[settings.config.task].auto_class}.",
        ) from error


def auto_class(settings: Settings) -> Any:
    """Return the class of transformers that builds the task's model with its head."""
    import transformers

    return getattr(transformers, TASKS[settings.config.task].auto_class)


def load_base(
    settings: Settings,
    *,
    config: "PretrainedConfig | None" = None,
    dtype: "torch.dtype | str | None" = None,
    quantize: bool = True,
) -> "PreTrainedModel":
    """Return the base model in `dtype`, quantised by the job's settings unless `quantize` is False.

    `config` describes a head that the base may lack, such as a classifier's. `dtype` is the job's by default, or fp32 where training
    needs that (see `master_weights`).
    Raises `StageError` for pickled or missing weights, and for errors of the hub.
    """
    model = settings.config.model
    folder = random_base(settings, config) if model.from_scratch else base_folder(settings)
    _require_safetensors(folder)
    quantization = quantization_config(settings) if quantize else None
    return auto_class(settings).from_pretrained(
        folder,
        **({} if config is None else {"config": config}),
        dtype=dtype or ("float32" if needs_fp32_base(settings.config) else model.dtype),
        attn_implementation=model.attn_implementation,
        trust_remote_code=model.trust_remote_code,
        use_safetensors=True,
        local_files_only=True,
        quantization_config=quantization,
        device_map=_quantized_device_map() if quantization is not None else None,
    )


def quantization_config(settings: Settings) -> "BitsAndBytesConfig | None":
    """Return the job's quantisation as a BitsAndBytesConfig, or None."""
    from transformers import BitsAndBytesConfig

    arguments = settings.config.method.quantization
    return None if arguments is None else BitsAndBytesConfig(**arguments)


def random_base(settings: Settings, config: "PretrainedConfig | None" = None) -> Path:
    """Create the base of `model.fromScratch`: random weights, drawn once from `training.seed` and kept beside the checkpoints.

    It is a folder, so that every rank, every resume, a ZeRO-3 load and the export use the same base. Under DeepSpeed it must be drawn
    before `TrainingArguments` exist, because they make DeepSpeed partition new models.
    """
    import torch
    from transformers import set_seed

    folder = settings.output_dir / _RANDOM_BASE
    together = torch.distributed.is_available() and torch.distributed.is_initialized()
    if not (together and torch.distributed.get_rank()) and not (folder / "config.json").is_file():
        set_seed(int(settings.config.training.get("seed", 42)))
        dtype = "float32" if settings.config.model.dtype == "auto" else settings.config.model.dtype
        drawn = auto_class(settings).from_config(config or load_config(settings), dtype=getattr(torch, dtype))
        partial = folder.with_name(f".{_RANDOM_BASE}-partial")
        drawn.save_pretrained(partial)
        partial.rename(folder)
    if together:
        torch.distributed.barrier()
    return folder


def generation_defaults(settings: Settings) -> GenerationDefaults:
    """Return the base model's generation_config.json: the sampling defaults of the server, and so of the evaluation.

    Raises `StageError` for a file that cannot be served.
    """
    try:
        return generation_defaults_in(base_folder(settings, weights=False))
    except GenerationConfigError as error:
        raise StageError(ExitCode.CONFIGURATION, "GenerationConfigInvalid", str(error), error.way_out) from error


def require_weights(settings: Settings) -> None:
    """Check the weights without loading them. Raises `StageError` for pickles, missing weights and truncated files."""
    if settings.config.model.from_scratch:
        return
    hub = settings.config.model.hub
    if hub is None:
        _require_safetensors(base_folder(settings))
        return
    from huggingface_hub import list_repo_files
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return  # loading reports the files that the cache lacks
    names = _from_hub(hub, lambda: list_repo_files(hub.repo, revision=hub.revision))
    if ADAPTER_CONFIG in names:
        raise adapter_refused(f"{hub.repo}@{hub.revision}")
    if not any(name.endswith(".safetensors") for name in names):
        raise _no_safetensors(f"{hub.repo}@{hub.revision}", [name for name in names if Path(name).match("*.bin")])


def _snapshot(hub: HubModel, *, weights: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = [*_HUB_FILES, "*.safetensors"] if weights else _HUB_FILES
    return Path(_from_hub(hub, lambda: snapshot_download(hub.repo, revision=hub.revision, allow_patterns=patterns)))


def _from_hub(hub: HubModel, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        found = stage_error(error)
        raise StageError(found.code, found.reason, f"{hub.repo}@{hub.revision}: {found.message}", found.suggestion) from error


def _require_safetensors(folder: Path) -> None:
    from safetensors import SafetensorError, safe_open

    require_own_files(folder)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise _no_safetensors(str(folder), sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern)))
    for path in files:
        try:
            with safe_open(path, framework="pt"):
                pass  # the header is compared with the file's length
        except SafetensorError as error:
            raise _refuse("WeightsUnreadable", f"{path}: {error}", "Copy the file again: it is truncated, or not safetensors.") from error


def _no_safetensors(where: str, pickles: list[str]) -> StageError:
    if pickles:
        return _refuse(
            "PickledWeights",
            f"{where} has its weights only as pickles ({', '.join(pickles[:3])}), which run code when they are loaded",
            "If you trust them, convert them once: model.save_pretrained(folder) of transformers writes safetensors.",
        )
    return _refuse("WeightsMissing", f"{where} holds no *.safetensors", "Copy the weights there, or set model.fromScratch: true.")


def _quantized_device_map() -> dict[str, int | str] | None:
    """Return the device map: bitsandbytes needs the device, because it quantises while placing weights; ZeRO-3 places them itself."""
    import torch
    from transformers.integrations.deepspeed import is_deepspeed_zero3_enabled

    if is_deepspeed_zero3_enabled():
        return None
    return {"": int(os.environ.get("LOCAL_RANK", "0")) if torch.cuda.is_available() else "cpu"}


def _refuse(reason: str, message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, reason, message, suggestion)
