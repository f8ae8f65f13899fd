"""Trained weights are updated in fp32: in DeepSpeed's master copies, or because they are fp32 themselves.

A 16-bit weight near 1 has a resolution of 1/128 (bfloat16). Updates of a usual learning rate round to zero, and training stops to learn
without an error. DeepSpeed in bf16 or fp16 keeps fp32 master copies (ZeRO, arXiv:1910.02054, section 3.1). Everywhere else the
trained parameters are fp32, and autocast computes in 16 bits. Refuses every other case before the first step.
"""

from typing import TYPE_CHECKING, Any

from tunewright_contract.capabilities.precisions import PRECISION_FLAGS
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import TrainerConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.tuning.adapters import adapter_arguments

if TYPE_CHECKING:
    import torch


def deepspeed_keeps_masters(config: TrainerConfig) -> bool:
    """Return whether DeepSpeed computes in 16 bits, and so updates an fp32 copy of each trained weight. `auto` is the training's own."""
    sections: dict[str, Any] = config.deepspeed or {}
    enabled = {name: sections.get(name, {}).get("enabled", False) for name in PRECISION_FLAGS}
    return any(config.training.get(name, False) if value == "auto" else value for name, value in enabled.items())


def needs_fp32_base(config: TrainerConfig) -> bool:
    """Return whether the base is loaded in fp32, whatever `model.dtype` is.

    That is the case for a full fine-tune without master copies, for DeepSpeed in fp32, which refuses 16-bit parameters, and for modules
    that are trained in full (`modules_to_save`, a new head) in fp32 between layers of 16 bits, unless autocast converts between the types.
    """
    if deepspeed_keeps_masters(config):
        return False
    if not TUNERS[config.method.tuner].adapts or (config.deepspeed is not None and config.method.quantization is None):
        return True
    autocast = any(config.training.get(name, False) for name in PRECISION_FLAGS)
    whole = TASKS[config.task].new_head or bool(adapter_arguments(config.method).get("modules_to_save"))
    return whole and not autocast


def to_fp32(model: "torch.nn.Module", config: TrainerConfig) -> None:
    """Make every trained parameter fp32 unless DeepSpeed keeps master copies.

    PEFT leaves `modules_to_save` in the base's type, and TRL makes the adapter of a quantised base bfloat16.
    """
    if deepspeed_keeps_masters(config):
        return
    for _, parameter in _trained_in_16_bits(model):
        parameter.data = parameter.data.float()


def require_masters(model: "torch.nn.Module", config: TrainerConfig) -> None:
    """Raise `StageError` (CONFIGURATION) for a trained 16-bit parameter without an fp32 master copy."""
    masterless = [] if deepspeed_keeps_masters(config) else _trained_in_16_bits(model)
    if masterless:
        name, parameter = masterless[0]
        raise StageError(
            ExitCode.CONFIGURATION,
            "NoMasterWeights",
            f"{len(masterless)} trained parameter(s) are 16-bit and have no fp32 master copy, the first is {name} ({parameter.dtype}): "
            "small updates would round to zero",
            "Set deepspeed.stage to 1, 2 or 3, or model.dtype to float32.",
        )


def _trained_in_16_bits(model: "torch.nn.Module") -> "list[tuple[str, torch.nn.Parameter]]":
    import torch

    return [
        (name, parameter)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.dtype in {torch.bfloat16, torch.float16}
    ]
