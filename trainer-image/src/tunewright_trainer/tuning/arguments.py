"""Builds the libraries' objects from the configuration: `SFTConfig`, `LoraConfig`, a DeepSpeed configuration.

Refuses what this machine or these versions cannot do, before any weight is loaded. Every addition to the job's settings is named here, with
its reason. No setting of the job is replaced.
"""

import copy
import inspect
import logging
from typing import TYPE_CHECKING, Any

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings

if TYPE_CHECKING:
    from peft import LoraConfig
    from trl import SFTConfig

log = logging.getLogger(__name__)


def sft_config(settings: Settings, *, has_validation: bool) -> "SFTConfig":
    """The training arguments. Raises `StageError` naming the setting that `SFTConfig` does not know or refuses."""
    import torch
    from trl import SFTConfig

    on_cpu = not torch.cuda.is_available()
    refuse_impossible(settings)
    if on_cpu:
        _refuse_on_cpu(settings)
    asked = dict(settings.config.training)
    unknown = sorted(asked.keys() - inspect.signature(SFTConfig).parameters.keys())
    if unknown:
        raise _refuse(f"training.{unknown[0]} is not an argument of trl.SFTConfig", "Take it out, or correct its name.")
    if not has_validation and asked.get("eval_strategy", "no") != "no":
        log.info("no validation data, so there is nothing to evaluate during training")
        asked["eval_strategy"] = "no"
    ours: dict[str, Any] = {
        "output_dir": str(settings.checkpoints_dir),
        "max_length": settings.config.data.max_length,
        "deepspeed": deepspeed_config(settings),
        "disable_tqdm": True,  # a log is read by machines; progress is posted
        "logging_nan_inf_filter": False,  # or a loss that is no number would be shown as the mean of those before
        "assistant_only_loss": False,  # `tokenization` has set the labels already
        "completion_only_loss": False,
        "use_cpu": on_cpu,
        "ddp_backend": "gloo" if on_cpu else "nccl",
        "dataloader_pin_memory": not on_cpu,
    }
    if not asked.get("packing"):
        ours["dataset_kwargs"] = {"skip_prepare_dataset": True}  # `tokenization` has done it
    ours |= {"report_to": "none"} if "report_to" not in asked else {}
    try:
        config = SFTConfig(**{**asked, **ours})
    except (ValueError, TypeError) as error:
        raise _refuse(f"training: {error}", "Correct the setting named above.") from error
    # transformers adds its own poster when it sees the endpoint; ours, which is honest about stops, is added by the recipe.
    config.report_to = [name for name in config.report_to if name != "kubeflow"]
    return config


def lora_config(settings: Settings) -> "LoraConfig | None":
    """PEFT's configuration, or None for a full fine-tune. Raises `StageError` for what PEFT refuses."""
    method = settings.config.method
    if method.tuner == "full":
        return None
    from peft import LoraConfig

    try:
        return LoraConfig(**{"task_type": "CAUSAL_LM", **(method.lora or {})})
    except (TypeError, ValueError) as error:
        raise _refuse(f"method.lora: {error}", "Correct the setting named above.") from error


def deepspeed_config(settings: Settings) -> dict[str, Any] | None:
    """The job's DeepSpeed configuration, with what only this side can know. None: plain data parallelism."""
    if settings.config.deepspeed is None:
        return None
    config = copy.deepcopy(settings.config.deepspeed)
    zero = config.setdefault("zero_optimization", {})
    if zero.get("offload_optimizer", {}).get("device") == "cpu" and "optimizer" not in config:
        # transformers makes the optimizer, and DeepSpeed accepts only its own beside an offload unless told so. Its own needs a
        # compiler in the image and computes the same.
        config.setdefault("zero_force_ds_cpu_optimizer", False)
    return config


def zero_stage(settings: Settings) -> int | None:
    """The ZeRO stage, or None without DeepSpeed."""
    config = settings.config.deepspeed
    return None if config is None else int(config.get("zero_optimization", {}).get("stage", 0))


def refuse_impossible(settings: Settings) -> None:
    """What no machine can do with these versions. Raises `StageError`."""
    method = settings.config.method
    if (method.lora or {}).get("use_dora") and method.quantization is not None and zero_stage(settings) == 3:  # huggingface/peft#1731
        raise _refuse(
            "E101: DoRA on a quantised base cannot run under ZeRO-3: 4-bit parameters cannot be gathered to take their norm",
            "Use deepspeed.stage 2, or lora.useDora: false, or no quantization.",
        )
    if method.tuner == "full" and method.quantization is not None:
        raise _refuse(
            "E102: method.quantization goes with tuner lora only: quantised weights cannot be trained",
            "Set method.tuner: lora, or take method.quantization out.",
        )
    zero = (settings.config.deepspeed or {}).get("zero_optimization", {})
    if any(zero.get(name, {}).get("device") == "nvme" for name in ("offload_optimizer", "offload_param")):
        raise _refuse("deepspeed offload to nvme is not supported yet", "Offload to cpu, or to none.")


def _refuse_on_cpu(settings: Settings) -> None:
    asked = settings.config.training
    if asked.get("fp16"):
        raise _refuse("E401: training.precision fp16 needs an accelerator", "Use bf16 or fp32 on a CPU.")
    if asked.get("packing"):
        raise _refuse(
            "training.packing lets samples see each other unless FlashAttention separates them, and that needs an accelerator",
            "Set packing: false on a CPU.",
        )


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "ConfigurationImpossible", message, suggestion)
