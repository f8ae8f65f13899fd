"""E201-E210: ZeRO, offloading, raw DeepSpeed configurations.

Sources: deepspeed 0.19.8 (runtime/config.py, runtime/zero/), transformers 5.23.0 (integrations/deepspeed.py).
"""

from typing import Any

from tunewright.api.problems import as_written
from tunewright.api.rules.facts import HAS_DEEPSPEED, STAGE_3, block, raw_deepspeed, raw_device, raw_stage
from tunewright.api.rules.predicates import Predicate, field, flag, has, text
from tunewright.api.rules.table import Faults, Rule, fault_rule, job_rule
from tunewright.api.v1alpha1.deepspeed import DeepSpeedSpec
from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import PRECISION_FLAGS, TRAINING_PRECISIONS

# deepspeed/runtime/config.py: _REMOVED_TOP_LEVEL_CONFIG_KEYS and _REMOVED_ZERO_CONFIG_KEYS, each with a replacement or a reason.
REMOVED_KEYS = {
    "nebula": "checkpoints would silently be plain files",
    "compression_training": "the model would train uncompressed",
    "amp": "use fp16, bf16 or torch_autocast",
    "quantize_training": "mixture of quantization is gone",
    "sparse_gradients": "gradients of sparse embeddings are reduced sparsely without it",
    "eigenvalue": "mixture of quantization is gone",
    "sparse_attention": "sparse attention is gone",
    "elasticity": "set the batch sizes directly",
    "graph_harvesting": "graph harvesting is gone",
    "curriculum_learning": "use data_efficiency.data_sampling.curriculum_learning",
    "progressive_layer_drop": "progressive layer dropping is gone",
}
REMOVED_ZERO_KEYS = {
    "mics_shard_size": "MiCS is gone",
    "mics_hierarchical_params_gather": "MiCS is gone",
    "zeropp_loco_param": "LoCo is gone",
}
# deepspeed/runtime/engine.py, _configure_basic_optimizer: these are compiled, or need a package, when training starts.
UNLESS_TORCH_ADAM = ("adam", "adamw")
ALWAYS_LACKING = ("lamb", "lion", "muon", "muadam", "muadamw", "musgd")
# deepspeed/runtime/precision_config.py: master copies in 16 bits, in which small updates round to nothing.
MASTERLESS = ("bf16.bf16_master_weights_and_grads", "fp16.fp16_master_weights_and_grads")


def removed_keys(spec: FineTuneJobSpec) -> list[str]:
    """Return the keys of the raw configuration that DeepSpeed has removed, each with a replacement or a reason."""
    raw = raw_deepspeed(spec)
    zero = block(raw, "zero_optimization")
    found = [f"{key} ({why})" for key, why in REMOVED_KEYS.items() if key in raw]
    return found + [f"zero_optimization.{key} ({why})" for key, why in REMOVED_ZERO_KEYS.items() if key in zero]


def typed_beside_raw(spec: FineTuneJobSpec) -> list[str]:
    """Return the typed fields set beside a raw configuration. Defaults do not count: earlier CRDs wrote them out."""
    if spec.deepspeed is None or spec.deepspeed.config is None:
        return []
    fields = DeepSpeedSpec.model_fields
    plain = DeepSpeedSpec()
    return [str(fields[name].alias) for name in fields if name != "config" and getattr(spec.deepspeed, name) != getattr(plain, name)]


def contradictions(spec: FineTuneJobSpec) -> list[str]:
    """Return where a raw configuration differs from `training`. `auto` and absent keys do not differ."""
    raw = raw_deepspeed(spec)
    training = spec.training
    optimizer = block(block(raw, "optimizer"), "params")
    accumulation = spec.gradient_accumulation_steps()
    precision = TRAINING_PRECISIONS[training.precision]
    pairs: list[tuple[str, Any, Any]] = [
        ("train_micro_batch_size_per_gpu", raw.get("train_micro_batch_size_per_gpu"), training.per_device_train_batch_size),
        ("gradient_accumulation_steps", raw.get("gradient_accumulation_steps"), accumulation),
        ("train_batch_size", raw.get("train_batch_size"), training.per_device_train_batch_size * accumulation * spec.world_size),
        ("gradient_clipping", raw.get("gradient_clipping"), training.max_grad_norm),
        *((f"{flag}.enabled", block(raw, flag).get("enabled"), flag == precision.flag) for flag in PRECISION_FLAGS),
        ("optimizer.params.lr", optimizer.get("lr"), spec.learning_rate()),
        ("optimizer.params.weight_decay", optimizer.get("weight_decay"), training.weight_decay),
        ("optimizer.params.eps", optimizer.get("eps"), training.adam_epsilon),
        ("optimizer.params.betas", optimizer.get("betas"), [training.adam_beta1, training.adam_beta2]),
    ]
    return [
        f"{key} {as_written(said)} (training says {as_written(wanted)})"
        for key, said, wanted in pairs
        if said not in (None, "auto", wanted)
    ]


def not_in_images(spec: FineTuneJobSpec) -> list[str]:
    """Return the settings of a raw configuration that need DeepSpeed ops that the images lack."""
    raw = raw_deepspeed(spec)
    zero, optimizer = block(raw, "zero_optimization"), block(raw, "optimizer")
    named = str(optimizer.get("type", ""))
    lacking = {
        f"optimizer.type {named}": named.lower() in ALWAYS_LACKING
        or (named.lower() in UNLESS_TORCH_ADAM and block(optimizer, "params").get("torch_adam") is not True)
        or (named.lower() == "adagrad" and raw_device(zero, "offload_optimizer") != "none"),
        "zero_optimization.offload_optimizer.device nvme": raw_device(zero, "offload_optimizer") == "nvme",
        "zero_optimization.offload_param.device nvme": raw_device(zero, "offload_param") == "nvme",
    }
    return [text for text, present in lacking.items() if present]


def masterless(spec: FineTuneJobSpec) -> list[str]:
    """Return the settings of a raw configuration that turn off DeepSpeed's fp32 master copies of 16-bit weights."""
    raw = raw_deepspeed(spec)
    return [f"{path} true" for path in MASTERLESS if block(raw, path.partition(".")[0]).get(path.partition(".")[2]) is True]


_STAGE = text("deepspeed.stage")
_NOT_3 = _STAGE.among(["0", "1", "2"])  # Auto can become 3
_OPTIMIZER, _PARAM = field("deepspeed.offloadOptimizer.device"), field("deepspeed.offloadParam.device")
_OPTIMIZER_PATH, _PARAM_PATH = has("deepspeed.offloadOptimizer.nvmePath"), has("deepspeed.offloadParam.nvmePath")
# What can be wrong with the typed offload settings.
_OFFLOAD_FAULTS: tuple[tuple[Predicate, str], ...] = (
    (_NOT_3 & _PARAM.among(["cpu", "nvme"]), "offloadParam.device {param.device} needs stage 3, but stage is {stage}"),
    (
        _NOT_3 & field("deepspeed.offloadOptimizer.ratio").below(1.0),
        "offloadOptimizer.ratio {ratio} needs stage 3, but stage is {stage}",
    ),
    (_NOT_3 & _OPTIMIZER.equals("nvme"), "offloadOptimizer.device nvme needs stage 3, but stage is {stage}"),
    (_STAGE.equals("0") & _OPTIMIZER.equals("cpu"), "offloadOptimizer.device cpu needs stage 1 or above, but stage is 0"),
    (_OPTIMIZER.equals("nvme") & ~_OPTIMIZER_PATH, "offloadOptimizer.device nvme needs nvmePath"),
    (_PARAM.equals("nvme") & ~_PARAM_PATH, "offloadParam.device nvme needs nvmePath"),
    (
        _OPTIMIZER.differs("nvme") & _OPTIMIZER_PATH,
        "offloadOptimizer.nvmePath {optimizer.nvme_path} would be ignored by device {optimizer.device}",
    ),
    (_PARAM.differs("nvme") & _PARAM_PATH, "offloadParam.nvmePath {param.nvme_path} would be ignored by device {param.device}"),
)

OFFLOAD_FAULTS = Faults[FineTuneJobSpec](_OFFLOAD_FAULTS)


def offload_conflicts(spec: FineTuneJobSpec) -> list[str]:
    """Return the errors of a job's typed offload settings, if it has any."""
    typed = spec.deepspeed or DeepSpeedSpec()
    ratio = as_written(typed.offload_optimizer.ratio)
    values = {"stage": typed.stage, "optimizer": typed.offload_optimizer, "param": typed.offload_param, "ratio": ratio}
    return OFFLOAD_FAULTS.texts(spec, **values)


def _raw_gathers(spec: FineTuneJobSpec) -> bool:
    return block(raw_deepspeed(spec), "zero_optimization").get("stage3_gather_16bit_weights_on_model_save") is True


def batch_conflict(spec: FineTuneJobSpec) -> str:
    """Return why globalBatchSize cannot be reached, or nothing. It is micro batch x accumulation x ranks."""
    training = spec.training
    if training.global_batch_size is None:
        return ""
    per_pass = training.per_device_train_batch_size * spec.world_size
    passes, rest = divmod(training.global_batch_size, per_pass)
    shape = f"perDeviceTrainBatchSize {training.per_device_train_batch_size} x {spec.world_size} ranks = {per_pass}"
    if rest:
        return f"globalBatchSize {training.global_batch_size} is not a multiple of {shape}"
    if training.gradient_accumulation_steps not in {None, passes}:
        return (
            f"globalBatchSize {training.global_batch_size} needs gradientAccumulationSteps {passes} ({shape}), not "
            f"{training.gradient_accumulation_steps}"
        )
    return ""


def _both_precisions(spec: FineTuneJobSpec) -> bool:
    raw = raw_deepspeed(spec)
    return all(block(raw, flag).get("enabled") is True for flag in PRECISION_FLAGS)


RULES: tuple[Rule[Any], ...] = (
    fault_rule(
        code="E201",
        path="deepspeed.config",
        faults=removed_keys,
        says="DeepSpeed 0.19.8 refuses keys of features it has removed: {}",
        refuses="keys that DeepSpeed has removed",
        way_out="Delete these keys.",
    ),
    fault_rule(
        code="E202",
        path="deepspeed.config",
        faults=typed_beside_raw,
        says="a raw configuration stands alone, but these are set beside it: {}",
        refuses="a raw configuration beside typed fields",
        way_out="Move these settings into config, or drop config.",
    ),
    fault_rule(
        code="E202",
        path="deepspeed.config",
        faults=contradictions,
        says="contradicts spec.training: {}",
        refuses="a raw configuration that contradicts training",
        way_out='Write "auto" there, so that the value of spec.training is taken.',
        at_start=True,
    ),
    fault_rule(
        code="E203",
        path="deepspeed",
        faults=offload_conflicts,
        says="{}",
        refuses="offloading that the ZeRO stage cannot do, or NVMe without a path",
        way_out="Set deepspeed.stage to 3 or Auto, or the device to none or cpu; with nvme give nvmePath.",
        broken=HAS_DEEPSPEED & OFFLOAD_FAULTS.any,
    ),
    job_rule(
        code="E204",
        path="deepspeed.stage3Gather16bitWeightsOnModelSave",
        broken=STAGE_3 & ~flag("deepspeed.stage3Gather16bitWeightsOnModelSave"),
        also=lambda spec: raw_stage(spec) == 3 and not _raw_gathers(spec),
        says=lambda _: "under stage 3 the saved model would be empty shards, and there would be nothing to export",
        refuses="stage 3 without gathering weights on save",
        way_out="Set it to true (in a raw configuration: zero_optimization.stage3_gather_16bit_weights_on_model_save).",
    ),
    job_rule(
        code="E207",
        path="training.optim",
        broken=HAS_DEEPSPEED & field("training.optim").among(OPTIMIZERS.where(lambda row: not row.deepspeed)),
        says=lambda spec: f"{spec.training.optim} works on whole gradients of single layers, which DeepSpeed does not hand out",
        refuses="GaLore, APOLLO and layerwise optimizers with DeepSpeed",
        way_out="Choose adamw_torch, or leave deepspeed out.",
    ),
    job_rule(
        code="E207",
        path="deepspeed.config",
        broken=_both_precisions,
        says=lambda _: "bf16.enabled and fp16.enabled are both true",
        refuses="bf16 and fp16 together",
        way_out='Write "auto" for both; training.precision decides.',
    ),
    fault_rule(
        code="E208",
        path="deepspeed.config",
        faults=not_in_images,
        says="when training starts DeepSpeed would compile what these need, and pods cannot: {}",
        refuses="optimizers and devices whose DeepSpeed ops the images do not hold",
        way_out="Leave optimizer out, so that training.optim names it (or set optimizer.params.torch_adam to true), and offload to cpu.",
    ),
    job_rule(
        code="E209",
        path="training.globalBatchSize",
        broken=lambda spec: bool(batch_conflict(spec)),
        says=batch_conflict,
        refuses="a globalBatchSize that micro batch, accumulation and ranks cannot make",
        way_out="Choose a multiple of perDeviceTrainBatchSize x ranks (or other workers.replicas); leave gradientAccumulationSteps out.",
        at_start=True,
    ),
    fault_rule(
        code="E210",
        path="deepspeed.config",
        faults=masterless,
        says="without fp32 master copies small updates of 16-bit weights round to nothing: {}",
        refuses="16-bit master weights",
        way_out="Delete these keys; DeepSpeed keeps fp32 master copies then.",
    ),
)
