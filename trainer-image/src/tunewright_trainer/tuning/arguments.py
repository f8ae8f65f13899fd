"""Builds the libraries' objects from the configuration: training arguments and a DeepSpeed configuration.

Refuses settings that this machine or these versions do not support, before any weight is loaded. Every addition to the job's settings is
named here, with its reason. No setting of the job is replaced.
"""

import copy
import inspect
import logging
from typing import TYPE_CHECKING, Any, TypeVar

from tunewright_contract.capabilities.precisions import TRAINING_PRECISIONS
from tunewright_contract.capabilities.tuners import TUNERS, dora_works
from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.adapters import adapter_arguments

if TYPE_CHECKING:
    from transformers import TrainingArguments

ArgumentsT = TypeVar("ArgumentsT", bound="TrainingArguments")

log = logging.getLogger(__name__)


def training_arguments(settings: Settings, kind: type[ArgumentsT], *, has_validation: bool, **ours: Any) -> ArgumentsT:
    """The training arguments, with `ours` of the recipe. Raises `StageError` naming the setting that `kind` does not know or refuses."""
    import torch

    on_cpu = not torch.cuda.is_available()
    refuse_impossible(settings)
    if on_cpu:
        _refuse_on_cpu(settings)
    asked = dict(settings.config.training)
    unknown = sorted(asked.keys() - inspect.signature(kind).parameters.keys())
    if unknown:
        library = kind.__module__.partition(".")[0]
        raise _refuse(
            f"the configuration has the argument {unknown[0]}, which {library}.{kind.__name__} does not take",
            "The operator and the trainer image have different versions: use images of one release.",
        )
    if not has_validation and asked.get("eval_strategy", "no") != "no":
        log.info("no validation data, so there is nothing to evaluate during training")
        asked["eval_strategy"] = "no"
    always: dict[str, Any] = {
        "output_dir": str(settings.checkpoints_dir),
        "deepspeed": deepspeed_config(settings),
        "disable_tqdm": True,  # logs get no progress bar, because progress is posted
        "logging_nan_inf_filter": False,  # otherwise a loss that is not finite would be logged as the mean of earlier ones
        "use_cpu": on_cpu,
        "ddp_backend": "gloo" if on_cpu else "nccl",
        "dataloader_pin_memory": not on_cpu,
    }
    always |= {"report_to": "none"} if "report_to" not in asked else {}
    try:
        config: ArgumentsT = kind(**{**asked, **always, **ours})
    except (ValueError, TypeError) as error:
        raise _refuse(f"training: {error}", "Correct the setting named above.") from error
    # transformers adds its own poster if the endpoint is set. The recipe adds one that reports stops correctly.
    config.report_to = [name for name in config.report_to if name != "kubeflow"]
    return config


def deepspeed_config(settings: Settings) -> dict[str, Any] | None:
    """Return the job's DeepSpeed configuration, with the settings that depend on this process. None: plain data parallelism."""
    if settings.config.deepspeed is None:
        return None
    config = copy.deepcopy(settings.config.deepspeed)
    zero = config.setdefault("zero_optimization", {})
    if zero.get("offload_optimizer", {}).get("device") == "cpu" and "optimizer" not in config:
        # transformers makes the optimizer, and DeepSpeed accepts only its own with offload, unless a flag allows others. Its own needs a
        # compiler in the image and computes the same.
        config.setdefault("zero_force_ds_cpu_optimizer", False)
    return config


def zero_stage(settings: Settings) -> int | None:
    """The ZeRO stage, or None without DeepSpeed."""
    config = settings.config.deepspeed
    return None if config is None else int(config.get("zero_optimization", {}).get("stage", 0))


def refuse_impossible(settings: Settings) -> None:
    """Raise `StageError` for settings that fail with these versions on every machine."""
    method = settings.config.method
    quantized = method.quantization is not None
    dora = bool(adapter_arguments(method).get("use_dora"))
    if dora and not dora_works(quantized=quantized, stage=zero_stage(settings)):  # huggingface/peft#1731
        raise _refuse(
            "E101: DoRA on a quantised base cannot run under ZeRO-3: 4-bit parameters cannot be gathered to take their norm",
            "Use deepspeed.stage 2, or method.lora.useDora: false, or method.quantization.type: none.",
        )
    if quantized and not TUNERS[method.tuner].quantizable:
        able = " or ".join(TUNERS.where(lambda tuner: tuner.supported and tuner.quantizable))
        raise _refuse(
            f"E102: method.quantization does not work with method.tuner {method.tuner}, which cannot train or adapt quantised weights",
            f"Set method.tuner to {able}, or method.quantization.type to none.",
        )
    zero = (settings.config.deepspeed or {}).get("zero_optimization", {})
    if any(zero.get(name, {}).get("device") == "nvme" for name in ("offload_optimizer", "offload_param")):
        raise _refuse(
            "offloading to nvme is not supported yet", "Set device in deepspeed.offloadOptimizer and deepspeed.offloadParam to cpu or none."
        )


def _refuse_on_cpu(settings: Settings) -> None:
    asked = settings.config.training
    for precision in TRAINING_PRECISIONS.values():
        if precision.needs_accelerator and precision.flag and asked.get(precision.flag):
            others = " or ".join(TRAINING_PRECISIONS.where(lambda row: not row.needs_accelerator))
            raise _refuse(f"E401: training.precision {precision.name} needs an accelerator", f"Use {others} on a CPU.")
    if asked.get("packing"):
        raise _refuse(
            "data.packing lets samples attend to each other without FlashAttention, which needs an accelerator",
            "Set data.packing: false on a CPU.",
        )


def _refuse(message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "ConfigurationImpossible", message, suggestion)
