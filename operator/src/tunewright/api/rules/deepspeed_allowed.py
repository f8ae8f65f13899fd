"""E211: the allow-list of keys in a raw `deepspeed.config`.

Source: DeepSpeed 0.19.8 (runtime/config.py, runtime/zero/config.py, runtime/precision_config.py). Its other keys write files, open
connections, start processes or load code. DeepSpeed would ignore unknown keys.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunewright.api.rules.deepspeed import REMOVED_KEYS, REMOVED_ZERO_KEYS
from tunewright.api.rules.facts import raw_deepspeed
from tunewright.api.rules.table import Rule, fault_rule
from tunewright.api.v1alpha1.job import FineTuneJobSpec

Allowed = Mapping[str, Any]  # key -> None for a value, or the keys of a block


def _values(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


_OFFLOAD = _values("device pin_memory buffer_count")
_ZERO: Allowed = {
    **_values(
        "stage contiguous_gradients reduce_scatter reduce_bucket_size use_multi_rank_bucket_allreduce allgather_partitions "
        "allgather_bucket_size overlap_comm load_from_fp32_weights sub_group_size stage3_max_live_parameters stage3_max_reuse_distance "
        "stage3_prefetch_bucket_size stage3_param_persistence_threshold stage3_model_persistence_threshold "
        "stage3_gather_16bit_weights_on_model_save stage3_gather_fp16_weights_on_model_save stage3_module_granularity_threshold "
        "stage3_use_all_reduce_for_fetch_params stage3_allgather_sequential ignore_unused_parameters round_robin_gradients "
        "zero_hpz_partition_size zero_quantized_weights zero_quantized_nontrainable_weights zero_quantized_gradients "
        "memory_efficient_linear override_module_apply parameter_alignment enable_sanity_checks"
    ),
    "offload_optimizer": {**_OFFLOAD, **_values("ratio pipeline_read pipeline_write fast_init")},
    "offload_param": {**_OFFLOAD, **_values("buffer_size max_in_cpu")},
}
ALLOWED: Allowed = {
    **_values(
        "train_batch_size train_micro_batch_size_per_gpu gradient_accumulation_steps gradient_clipping gradient_predivide_factor "
        "prescale_gradients steps_per_print wall_clock_breakdown memory_breakdown communication_data_type "
        "seq_parallel_communication_data_type zero_allow_untested_optimizer zero_force_ds_cpu_optimizer disable_allgather "
        "dataloader_drop_last"
    ),
    "fp16": _values(
        "enabled auto_cast loss_scale initial_scale_power loss_scale_window hysteresis consecutive_hysteresis min_loss_scale "
        "fp16_master_weights_and_grads"
    ),
    "bf16": _values("enabled immediate_grad_update check_grad_overflow bf16_master_weights_and_grads bf16_optimizer_states"),
    "torch_autocast": _values("enabled dtype lower_precision_safe_modules"),
    "data_types": _values("grad_accum_dtype"),
    "optimizer": {
        "type": None,
        "params": _values("lr betas eps weight_decay torch_adam adam_w_mode bias_correction amsgrad momentum dampening nesterov"),
    },
    "scheduler": {
        "type": None,
        "params": _values(
            "warmup_min_lr warmup_max_lr warmup_num_steps warmup_type warmup_min_ratio cos_min_ratio total_num_steps last_batch_iteration "
            "lr_range_test_min_lr lr_range_test_step_size lr_range_test_step_rate lr_range_test_staircase "
            "cycle_min_lr cycle_max_lr decay_lr_rate cycle_first_step_size cycle_second_step_size cycle_first_stair_count "
            "cycle_second_stair_count decay_step_size cycle_momentum cycle_min_mom cycle_max_mom decay_mom_rate"
        ),
    },
    "zero_optimization": _ZERO,
    "activation_checkpointing": _values(
        "partition_activations contiguous_memory_optimization cpu_checkpointing number_checkpoints synchronize_checkpoint_boundary profile"
    ),
}
# Common keys that are refused, each with its reason. Other keys are refused as unknown.
REASONS = {
    "flops_profiler": "writes a file that it names",
    "csv_monitor": "writes files",
    "tensorboard": "writes files",
    "wandb": "opens connections",
    "comet": "opens connections",
    "autotuning": "starts other processes",
    "dump_state": "prints the whole configuration",
    "comms_logger": "only prints",
    "aio": "is for NVMe, which the images hold no op for",
    "checkpoint": "names files; checkpoints are Tunewright's",
    "hybrid_engine": "is for generation during training",
    "data_efficiency": "changes the data and its order",
    "zero_optimization.offload_optimizer.nvme_path": "names a folder",
    "zero_optimization.offload_param.nvme_path": "names a folder",
}


def not_allowed(spec: FineTuneJobSpec) -> list[str]:
    """Return the keys of the raw configuration that are not on the list, each with the reason."""
    removed = {*REMOVED_KEYS, *(f"zero_optimization.{key}" for key in REMOVED_ZERO_KEYS)}
    found = (path for path in _unlisted(raw_deepspeed(spec), ALLOWED, "") if path not in removed)
    return [f"{path} ({REASONS.get(path, 'is not known')})" for path in found]


def _unlisted(config: Mapping[str, Any], allowed: Allowed, above: str) -> Iterator[str]:
    for key, value in config.items():
        path = f"{above}{key}"
        inner = allowed.get(key)
        if key not in allowed or (inner is None and isinstance(value, Mapping)):
            yield path
        elif inner is not None and isinstance(value, Mapping):
            yield from _unlisted(value, inner, f"{path}.")


RULES: tuple[Rule[Any], ...] = (
    fault_rule(
        code="E211",
        path="deepspeed.config",
        faults=not_allowed,
        says="these keys are not allowed: {}",
        refuses="keys of a raw configuration that training does not need",
        way_out="Delete these keys; metrics are in status and in metrics.jsonl.",
    ),
)
