"""The sharding strategies: all of them, those that the job allows, and those that `Auto` avoids, with the reason."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tunewright.api.rules.facts import block, raw_device
from tunewright.api.rules.method import dora_fails, lora_of, start_fails
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.plan.memory.estimate import Strategy
from tunewright_contract.capabilities.precisions import QUANTIZATIONS
from tunewright_contract.capabilities.tuners import TUNERS

_STAGES = (0, 1, 2, 3)


def every_strategy(*, on_accelerator: bool) -> tuple[Strategy, ...]:
    """Return all strategies, cheapest communication first. On processors there is no other memory to offload to."""
    devices = ("none", "cpu") if on_accelerator else ("none",)
    return tuple(_combined(_STAGES, devices, devices))


def asked_strategies(spec: FineTuneJobSpec, *, on_accelerator: bool) -> tuple[Strategy, ...]:
    """Return the strategies that the job allows, in order of preference: only one if the job sets everything."""
    deepspeed = spec.deepspeed
    if deepspeed is None:
        return (Strategy(stage=0),)
    if deepspeed.config is not None:
        return (_raw(deepspeed.config),)
    stages = _STAGES if deepspeed.stage == "Auto" else (deepspeed.stage,)
    if stages == (0,):
        return (Strategy(stage=0),)
    automatic = ("none", "cpu") if on_accelerator else ("none",)
    optimizer, param = deepspeed.offload_optimizer.device, deepspeed.offload_param.device
    return tuple(_combined(stages, automatic if optimizer == "Auto" else (optimizer,), automatic if param == "Auto" else (param,)))


def leaves_stage_open(spec: FineTuneJobSpec) -> bool:
    """Return whether the planner chooses the stage."""
    return spec.deepspeed is not None and spec.deepspeed.config is None and spec.deepspeed.stage == "Auto"


def objection(spec: FineTuneJobSpec, strategy: Strategy) -> str:
    """Return why `Auto` never takes a strategy, or an empty text. Explicit settings are not checked here."""
    if strategy.stage == 0 and not TUNERS[spec.method.tuner].adapts and spec.model.dtype in {"bfloat16", "float16"}:
        # DeepSpeed keeps 16-bit weights and divides their fp32 copy; torch alone trains fp32 weights.
        return f"plain DDP trains {spec.model.dtype} weights in fp32 on every rank, and ZeRO-1 needs no more memory for the same result"
    if dora_fails(spec, strategy.stage):
        return "E101: DoRA needs the norm of the base weights, which ZeRO-3 cannot gather in 4 or 8 bits (huggingface/peft#1731)"
    if start_fails(spec, strategy.stage):
        start = lora_of(spec).init_lora_weights
        return f"E104: initLoraWeights {start} needs whole weights, which ZeRO-3 never gathers"
    quantization = QUANTIZATIONS[spec.method.quantization.type]
    if strategy.stage not in quantization.zero_stages:
        return f"{quantization.bits:g}-bit weights under ZeRO-{strategy.stage} have passed no test"
    if strategy.offload_param != "none" and quantization.quantized:
        return "offloading a quantised base takes more accelerator memory, not less (PEFT's DeepSpeed guide)"
    return ""


def _combined(stages: Sequence[int], optimizers: Iterable[str], params: Iterable[str]) -> Iterable[Strategy]:
    optimizers = tuple(optimizers)
    for param in params:
        for optimizer in optimizers:
            for stage in stages:
                if (stage > 0 or optimizer == "none") and (stage == 3 or param == "none"):
                    yield Strategy(stage=stage, offload_optimizer=optimizer, offload_param=param)


def _raw(config: Mapping[str, Any]) -> Strategy:
    """Read the settings of a raw DeepSpeed configuration that affect memory. A value of another type counts as absent."""
    zero = block(config, "zero_optimization")
    stage = zero.get("stage")
    return Strategy(
        stage=stage if isinstance(stage, int) and stage in _STAGES else 0,
        offload_optimizer=raw_device(zero, "offload_optimizer"),
        offload_param=raw_device(zero, "offload_param"),
    )
