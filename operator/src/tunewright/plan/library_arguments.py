"""The job's settings as the keyword arguments of the libraries, and the DeepSpeed configuration of its strategy.

These are trl.SFTConfig or transformers.TrainingArguments, peft.LoraConfig and transformers.BitsAndBytesConfig.

Names are the libraries' own in snake_case, so this is mostly a change of case. Every addition to the job's settings is in this file, with
its reason. The trainer sets output paths, progress and logging. The tests compare every name with the installed libraries.

The DeepSpeed configuration is complete, with `auto` for every value that transformers fills in and checks. It has no optimizer block:
transformers builds the optimizer that `training.optim` names, and DeepSpeed wraps it. So nothing is compiled on the worker.
"""

import copy
from typing import Any

from tunewright.api.v1alpha1.common import Spec
from tunewright.api.v1alpha1.deepspeed import DeepSpeedSpec, OffloadOptimizer, OffloadParam
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.api.v1alpha1.method import LoraSpec
from tunewright.plan.memory.estimate import Strategy, overlaps_by_default
from tunewright_contract.capabilities.precisions import PRECISION_FLAGS, QUANTIZATIONS, TRAINING_PRECISIONS
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import TUNERS

# Fields of spec.training whose name and meaning are those of TrainingArguments, from which SFTConfig inherits.
_SAME = (
    "num_train_epochs", "max_steps", "per_device_train_batch_size", "per_device_eval_batch_size", "lr_scheduler_type", "warmup_steps",
    "optim", "weight_decay", "adam_beta1", "adam_beta2", "adam_epsilon", "max_grad_norm", "gradient_checkpointing", "use_liger_kernel",
    "train_sampling_strategy", "label_smoothing_factor", "logging_steps", "logging_first_step", "save_strategy", "save_steps",
    "save_total_limit", "save_only_model", "seed", "full_determinism", "dataloader_num_workers", "ddp_timeout",
)  # fmt: skip
# The same, but left to the library's own default if the job does not set them.
_SAME_IF_SET = ("lr_scheduler_kwargs", "neftune_noise_alpha", "data_seed", "dataloader_prefetch_factor", "report_to")
_BEST_MODEL = ("load_best_model_at_end", "metric_for_best_model", "greater_is_better")
_STEP_COUNTS = ("warmup_steps", "logging_steps", "save_steps", "eval_steps")  # a share below 1, a whole number of steps from 1 on


def training_arguments(spec: FineTuneJobSpec, *, stage: int) -> dict[str, Any]:
    """Return the keyword arguments of `trl.SFTConfig`, or of `transformers.TrainingArguments` for a task that TRL does not train.

    `stage` is the ZeRO stage decided, 0 without DeepSpeed.
    """
    training = spec.training
    arguments: dict[str, Any] = {name: getattr(training, name) for name in _SAME}
    arguments |= {name: value for name in _SAME_IF_SET if (value := getattr(training, name)) not in (None, (), {})}
    arguments |= {
        "learning_rate": spec.learning_rate(),
        "gradient_accumulation_steps": spec.gradient_accumulation_steps(),
        **{flag: flag == TRAINING_PRECISIONS[training.precision].flag for flag in PRECISION_FLAGS},
        "logging_strategy": "steps",
        # The trainer handles SIGTERM itself, agreed between ranks: transformers' timer per process would leave the others in a collective.
        "enable_jit_checkpoint": False,
        "use_cpu": spec.workers.accelerators == 0,
    }
    if training.gradient_checkpointing:
        # Reentrant checkpointing marks adapters ready twice under DDP; under ZeRO-3 with PEFT it is the only one TRL accepts.
        arguments["gradient_checkpointing_kwargs"] = {"use_reentrant": stage == 3 and TUNERS[spec.method.tuner].adapts}
    arguments |= _evaluation_arguments(spec)
    if TASKS[spec.task].trl:
        arguments |= _example_arguments(spec) | _loss_arguments(spec)
    return {name: _plain(name, value) for name, value in arguments.items()}


def lora_arguments(lora: LoraSpec) -> dict[str, Any]:
    """Return the keyword arguments of `peft.LoraConfig`. Absent settings are left to PEFT."""
    ours = {"loraplus_lr_ratio", "loftq_config"}  # not LoraConfig's, or not of this shape
    arguments = {name: value for name, value in lora.model_dump(by_alias=False, exclude=ours).items() if value not in (None, (), {})}
    if lora.loftq_config is not None:
        arguments["loftq_config"] = lora.loftq_config.model_dump(by_alias=False)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in arguments.items()}


def adapter_arguments(spec: FineTuneJobSpec) -> dict[str, dict[str, Any]]:
    """Return the name of the tuner's settings, with the keyword arguments of its PEFT configuration. Empty for a tuner without settings."""
    name, settings = TUNERS[spec.method.tuner].settings, spec.method.tuner_settings()
    if name is None or settings is None:
        return {}
    arguments = lora_arguments(settings) if isinstance(settings, LoraSpec) else _given(settings)
    return {name: {**arguments, "task_type": TASKS[spec.task].peft_task_type}}


def _given(settings: Spec) -> dict[str, Any]:
    """Return settings in snake_case. Absent ones are left to PEFT, and so is an empty list where the default is empty."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in settings.model_dump(by_alias=False).items()
        if value is not None and value != type(settings).model_fields[name].get_default(call_default_factory=True)
    }


def quantization_arguments(spec: FineTuneJobSpec, *, stage: int) -> dict[str, Any] | None:
    """Return the keyword arguments of `transformers.BitsAndBytesConfig`, or None for an unquantised base."""
    quantization = spec.method.quantization
    row = QUANTIZATIONS[quantization.type]
    if not row.quantized:
        return None
    if not row.four_bit:
        return {"load_in_8bit": True}
    # ZeRO-3 shards floating-point parameters only, so packed weights must be stored in the compute type.
    storage = quantization.quant_storage or (quantization.compute_dtype if stage == 3 else "uint8")
    return {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": quantization.quant_type,
        "bnb_4bit_use_double_quant": quantization.double_quant,
        "bnb_4bit_compute_dtype": quantization.compute_dtype,
        "bnb_4bit_quant_storage": storage,
    }


def _example_arguments(spec: FineTuneJobSpec) -> dict[str, Any]:
    """Return the arguments by which TRL turns examples into rows of a batch. The recipes of other tasks do this themselves."""
    data = spec.data
    return {"max_length": data.max_length, "packing": data.packing, "padding_free": data.padding_free}


def _loss_arguments(spec: FineTuneJobSpec) -> dict[str, Any]:
    """Return the arguments that choose the tokens of the loss. Absent for text completions: TRL decides by the data's columns."""
    arguments: dict[str, Any] = {}
    if TASKS[spec.task].needs_chat_template:
        arguments["assistant_only_loss"] = spec.data.assistant_only_loss is not False
    if spec.data.completion_only_loss is not None:
        arguments["completion_only_loss"] = spec.data.completion_only_loss
    return arguments


def _evaluation_arguments(spec: FineTuneJobSpec) -> dict[str, Any]:
    training = spec.training
    arguments = {name: value for name in _BEST_MODEL if (value := getattr(training, name)) is not None}
    if not spec.data.has_validation() or training.eval_strategy == "no":
        return {**arguments, "eval_strategy": "no"}
    task, metric = TASKS[spec.task], (training.metric_for_best_model or "").removeprefix("eval_")
    if task.metrics_of_answers and metric in task.metrics:
        arguments["predict_with_generate"] = True  # or transformers would measure no such metric
    arguments |= {"eval_strategy": training.eval_strategy, "eval_delay": training.eval_delay, "eval_on_start": training.eval_on_start}
    if training.eval_strategy == "steps":
        arguments["eval_steps"] = training.eval_steps or training.logging_steps
    if training.eval_accumulation_steps is not None:
        arguments["eval_accumulation_steps"] = training.eval_accumulation_steps
    return arguments


def _plain(name: str, value: Any) -> Any:
    """Convert to JSON's types: a tuple to a list, and a whole number of steps to an integer."""
    if name in _STEP_COUNTS and isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value


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
