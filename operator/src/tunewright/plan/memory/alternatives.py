"""Changes that would make a job fit into memory: the smallest of each kind, cheapest first."""

from collections.abc import Iterator
from dataclasses import replace

from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.plan.memory.estimate import Strategy, Workload, estimate
from tunewright.plan.memory.strategies import asked_strategies, every_strategy, leaves_stage_open, objection
from tunewright.plan.memory.workload import Capacity, as_qlora, fits
from tunewright.plan.plan_types import MemoryOption
from tunewright_contract.capabilities.precisions import BNB4
from tunewright_contract.capabilities.tuners import LORA
from tunewright_contract.quantities import people_bytes

MOST_REPLICAS = 1024  # the API's bound
SHORTEST_LENGTH = 128  # suggest no fewer tokens


def alternatives(spec: FineTuneJobSpec, load: Workload, least: MemoryOption, capacity: Capacity) -> list[str]:
    """Return the changes that would each make the job fit. The last one, more memory, always does."""
    return [*_changes(spec, load, capacity), _more_memory(least, capacity)]


def _changes(spec: FineTuneJobSpec, load: Workload, capacity: Capacity) -> Iterator[str]:
    def would(changed: Workload, on: Capacity = capacity, as_asked: FineTuneJobSpec = spec) -> bool:
        return any(_fits(changed, strategy, on) for strategy in _choices(as_asked, capacity))

    left_open = next((strategy for strategy in _unobjected(spec, capacity) if _fits(load, strategy, capacity)), None)
    if left_open is not None:
        yield _leave_open(left_open)
    checkpointed = replace(load, gradient_checkpointing=True)
    if checkpointed != load and would(checkpointed):
        yield "training.gradientCheckpointing: true"
    for batch in _halves(load.batch, 1):
        if would(replace(load, batch=batch)):
            yield f"training.perDeviceTrainBatchSize: {batch} (now {load.batch})"
            break
    for length in _halves(load.length, SHORTEST_LENGTH):
        if would(replace(load, length=length)):
            yield f"data.maxLength: {length} (now {load.length})"
            break
    if load.quantized_bits != as_qlora(load).quantized_bits and would(as_qlora(load), as_asked=_with_bnb4(spec)):
        yield f"method.tuner: {LORA.name} with method.quantization.type: {BNB4.name} (QLoRA)"
    replicas = spec.workers.replicas * 2
    while replicas <= MOST_REPLICAS:
        if would(load, replace(capacity, world_size=replicas * spec.workers.processes)):
            yield f"workers.replicas: {replicas} (now {spec.workers.replicas})"
            break
        replicas *= 2


def _leave_open(strategy: Strategy) -> str:
    offload = [f"{name}.device" for name, device in _offloads(strategy) if device != "none"]
    return f"deepspeed.stage{''.join(f' and {name}' for name in offload)}: Auto, which takes {strategy.name}"


def _offloads(strategy: Strategy) -> tuple[tuple[str, str], ...]:
    return ("offloadOptimizer", strategy.offload_optimizer), ("offloadParam", strategy.offload_param)


def _more_memory(least: MemoryOption, capacity: Capacity) -> str:
    what = "accelerators" if capacity.on_accelerator else "workers.resources.limits.memory"
    beside = f", and {people_bytes(least.host)} of pod memory per rank" if least.host else ""
    return f"{what} of at least {people_bytes(least.needed)} per rank{beside}"


def _choices(spec: FineTuneJobSpec, capacity: Capacity) -> list[Strategy]:
    asked = asked_strategies(spec, on_accelerator=capacity.on_accelerator)
    return [strategy for strategy in asked if not (leaves_stage_open(spec) and objection(spec, strategy))]


def _unobjected(spec: FineTuneJobSpec, capacity: Capacity) -> list[Strategy]:
    return [strategy for strategy in every_strategy(on_accelerator=capacity.on_accelerator) if not objection(spec, strategy)]


def _with_bnb4(spec: FineTuneJobSpec) -> FineTuneJobSpec:
    quantization = spec.method.quantization.model_copy(update={"type": BNB4.name})
    return spec.model_copy(update={"method": spec.method.model_copy(update={"tuner": LORA.name, "quantization": quantization})})


def _fits(load: Workload, strategy: Strategy, capacity: Capacity) -> bool:
    return fits(estimate(load, strategy, capacity.world_size, on_accelerator=capacity.on_accelerator), capacity)


def _halves(now: int, least: int) -> Iterator[int]:
    while now // 2 >= least:
        now //= 2
        yield now
