"""A job's settings as a memory workload, and the memory a rank has."""

from dataclasses import dataclass, replace

from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.plan.inputs import Defaults
from tunewright.plan.memory.estimate import CPU_PROCESS_BYTES, Workload
from tunewright.plan.plan_types import MemoryOption
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.precisions import BNB4, QUANTIZATIONS, TRAINING_PRECISIONS
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.quantities import whole
from tunewright_contract.reports import ModelFacts

_DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
# LoRA of rank 16 on all linear layers trains about a hundredth of them. Used to estimate whether QLoRA would fit instead.
_ADAPTER_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The memory available. Bytes; None: no limit is known."""

    on_accelerator: bool
    world_size: int
    available: int | None  # of one rank: the accelerator's memory, or its part of the pod's memory limit
    host: int | None  # of one rank, beside an accelerator: its part of the pod's memory limit


def capacity_of(spec: FineTuneJobSpec, defaults: Defaults) -> Capacity:
    """Return the memory of a rank: an accelerator if `workers.resources.limits` name one, else the pod's memory limit."""
    workers = spec.workers
    limit = workers.resources.limits.get("memory")
    of_pod = whole(limit) // workers.processes if limit is not None else None
    if workers.accelerators == 0:
        return Capacity(on_accelerator=False, world_size=spec.world_size, available=of_pod, host=None)
    memory = workers.accelerator_memory
    available = whole(memory) if memory is not None else defaults.accelerator_memory_bytes
    return Capacity(on_accelerator=True, world_size=spec.world_size, available=available, host=of_pod)


def fits(option: MemoryOption, capacity: Capacity) -> bool:
    """Return whether an option fits a rank's memory, on the accelerator and in the pod. An unknown limit always fits."""
    within = capacity.available is None or option.needed <= capacity.available
    return within and (capacity.host is None or option.host == 0 or option.host + CPU_PROCESS_BYTES <= capacity.host)


def workload_of(spec: FineTuneJobSpec, facts: ModelFacts) -> Workload:
    """Return the memory workload of a job."""
    training, quantization = spec.training, spec.method.quantization
    compute = TRAINING_PRECISIONS[training.precision].bytes
    stored = QUANTIZATIONS[quantization.type]
    return Workload(
        facts=facts,
        tuning="adapter" if TUNERS[spec.method.tuner].adapts else "full",
        loaded_bytes=4 if _fits_types_by_fp32(spec) else _DTYPE_BYTES.get(spec.model.dtype, compute),  # auto: most often the training's
        compute_bytes=compute,
        quantized_bits=stored.double_quant_bits if stored.four_bit and quantization.double_quant else stored.bits,
        moment_bytes=OPTIMIZERS[training.optim].state_bytes,
        batch=training.per_device_train_batch_size,
        length=spec.data.max_length,
        gradient_checkpointing=training.gradient_checkpointing,
        projects_to_vocabulary=not TASKS[spec.task].new_head,
        eager_attention=spec.model.attn_implementation == "eager",
        overlap_comm=spec.deepspeed.overlap_comm if spec.deepspeed else None,
        reduce_bucket=spec.deepspeed.reduce_bucket_size if spec.deepspeed else None,
    )


def _fits_types_by_fp32(spec: FineTuneJobSpec) -> bool:
    """Return whether the frozen base is fp32 whatever its dtype: whole modules train in fp32 without an autocast between the types."""
    whole_modules = getattr(spec.method.tuner_settings(), "modules_to_save", ())
    trains_whole = TASKS[spec.task].new_head or bool(whole_modules)
    return TRAINING_PRECISIONS[spec.training.precision].flag is None and trains_whole


def as_qlora(load: Workload) -> Workload:
    """Return the workload with its base in 4 bits and an adapter on it. A full fine-tune's adapter is estimated from the linear layers."""
    trained = load.trained if load.tuning == "adapter" else round(load.facts.linear_parameters * _ADAPTER_SHARE)
    facts = load.facts.model_copy(update={"trainable_parameters": trained})
    return replace(load, facts=facts, tuning="adapter", quantized_bits=BNB4.double_quant_bits)
