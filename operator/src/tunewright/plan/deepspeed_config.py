"""The DeepSpeed configuration for a strategy: complete, with `auto` for every value that transformers fills in and checks.

It has no optimizer block: transformers builds the optimizer that `training.optim` names, and DeepSpeed wraps it. So nothing is compiled
on the worker.
"""

import copy
from typing import Any

from tunewright.api.v1alpha1.deepspeed import DeepSpeedSpec, OffloadOptimizer, OffloadParam
from tunewright.plan.memory.estimate import Strategy, overlaps_by_default

AUTO = "auto"


def deepspeed_config(spec: DeepSpeedSpec | None, strategy: Strategy, *, on_accelerator: bool) -> dict[str, Any] | None:
    """Return the configuration for DeepSpeed 0.19, or None for plain DDP. A user's raw configuration stays unchanged."""
    if spec is not None and spec.config is not None:
        return copy.deepcopy(dict(spec.config))
    if spec is None or strategy.stage == 0:
        return None
    config: dict[str, Any] = {
        "train_batch_size": AUTO,
        "train_micro_batch_size_per_gpu": AUTO,
        "gradient_accumulation_steps": AUTO,
        "gradient_clipping": AUTO,
        "bf16": {"enabled": AUTO},
        "fp16": {"enabled": AUTO},
        "zero_allow_untested_optimizer": True,  # DeepSpeed counts every optimizer as untested that it did not build itself
        "zero_optimization": _zero(spec, strategy, on_accelerator=on_accelerator),
    }
    if strategy.offload_optimizer != "none":
        # Otherwise DeepSpeed requires its own cpu_adam, which it compiles on the worker at the first step.
        config["zero_force_ds_cpu_optimizer"] = False
    return config


def _zero(spec: DeepSpeedSpec, strategy: Strategy, *, on_accelerator: bool) -> dict[str, Any]:
    asked = spec.overlap_comm
    zero: dict[str, Any] = {
        "stage": strategy.stage,
        "contiguous_gradients": True,
        "overlap_comm": overlaps_by_default(strategy.stage, on_accelerator=on_accelerator) if asked is None else asked,
        # DeepSpeed's default of 5e8 elements would be allocated whatever the model's size; `auto` is hidden_size squared.
        "reduce_bucket_size": spec.reduce_bucket_size or AUTO,
    }
    if strategy.offload_optimizer != "none":
        zero["offload_optimizer"] = _offload(strategy.offload_optimizer, spec.offload_optimizer)
        if strategy.stage == 3 and spec.offload_optimizer.ratio < 1:
            zero["offload_optimizer"]["ratio"] = spec.offload_optimizer.ratio
    if strategy.stage != 3:
        return zero
    threshold = spec.stage3_param_persistence_threshold
    zero["stage3_prefetch_bucket_size"] = spec.stage3_prefetch_bucket_size or AUTO
    zero["stage3_param_persistence_threshold"] = AUTO if threshold is None else threshold
    zero["stage3_gather_16bit_weights_on_model_save"] = spec.stage3_gather_16bit_weights_on_model_save
    if strategy.offload_param != "none":
        zero["offload_param"] = _offload(strategy.offload_param, spec.offload_param)
    return zero | _zero_plus_plus(spec)


def _offload(device: str, asked: OffloadOptimizer | OffloadParam) -> dict[str, Any]:
    offload: dict[str, Any] = {"device": device, "pin_memory": asked.pin_memory}
    return offload | ({"nvme_path": asked.nvme_path} if device == "nvme" else {})


def _zero_plus_plus(spec: DeepSpeedSpec) -> dict[str, Any]:
    """Settings of quantised communication (ZeRO++, arXiv:2306.10209) that the job sets."""
    asked: dict[str, Any] = {
        "zero_quantized_weights": spec.zero_quantized_weights,
        "zero_quantized_gradients": spec.zero_quantized_gradients,
        "zero_quantized_nontrainable_weights": spec.zero_quantized_nontrainable_weights,
        "zero_hpz_partition_size": spec.zero_hpz_partition_size if spec.zero_hpz_partition_size > 1 else None,
    }
    return {name: value for name, value in asked.items() if value}
