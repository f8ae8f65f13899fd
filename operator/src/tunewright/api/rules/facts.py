"""Facts of a specification that several rules use."""

from collections.abc import Mapping
from typing import Any

from tunewright.api.rules.predicates import field, has, text
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.precisions import QUANTIZATIONS


def raw_deepspeed(spec: FineTuneJobSpec) -> Mapping[str, Any]:
    """Return the raw DeepSpeed configuration, empty when there is none."""
    return (spec.deepspeed and spec.deepspeed.config) or {}


def block(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a nested block of a raw configuration, empty if it is absent or not a map."""
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}


def raw_device(zero: Mapping[str, Any], name: str) -> str:
    """Return the device (none, cpu or nvme) of `offload_optimizer` or `offload_param` in a raw zero_optimization block."""
    device = block(zero, name).get("device")
    return device if device in ("cpu", "nvme") else "none"


def asked_stage(spec: FineTuneJobSpec) -> int | None:
    """Return the explicit ZeRO stage, typed or raw. None: the plan decides, or there is no DeepSpeed."""
    if spec.deepspeed is None:
        return None
    typed = spec.deepspeed.stage
    stage = typed if spec.deepspeed.config is None else block(spec.deepspeed.config, "zero_optimization").get("stage", 0)
    return stage if isinstance(stage, int) else None


def is_quantized(spec: FineTuneJobSpec) -> bool:
    """Return whether the frozen base is stored by bitsandbytes."""
    return QUANTIZATIONS[spec.method.quantization.type].quantized


def raw_stage(spec: FineTuneJobSpec) -> int | None:
    """Return the ZeRO stage of a raw configuration; None when there is none."""
    return None if spec.deepspeed is None or spec.deepspeed.config is None else asked_stage(spec)


# CEL and predicates read an explicit stage from typed fields only, not from a raw configuration. Both together are E202.
HAS_DEEPSPEED = has("deepspeed")
STAGE_3 = HAS_DEEPSPEED & text("deepspeed.stage").equals("3")
QUANTIZED = ~field("method.quantization.type").among(QUANTIZATIONS.where(lambda row: not row.quantized))
