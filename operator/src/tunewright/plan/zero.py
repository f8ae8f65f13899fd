"""Chooses ZeRO stage and offload: the explicit setting, or with `Auto` the smallest one that fits.

Promises a decision with all compared options and one sentence with the numbers. An explicit setting is kept, and reported if it does not
fit. `Auto` never takes a combination that is known to fail. Refuses if nothing fits, and names changes that would.
"""

from collections.abc import Sequence
from dataclasses import replace

from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.plan.arithmetic import arithmetic
from tunewright.plan.errors import Rejection
from tunewright.plan.inputs import Defaults
from tunewright.plan.memory import Strategy, Workload, estimate
from tunewright.plan.plan_types import MemoryFit, MemoryOption
from tunewright.plan.quantities import people_bytes
from tunewright.plan.strategies import asked_strategies, every_strategy, leaves_stage_open, objection
from tunewright.plan.ways_out import ways_out
from tunewright.plan.workload import Ground, fits, ground_of, workload_of
from tunewright_contract.reports import ModelFacts


def strategy_of(decided: MemoryFit | MemoryOption) -> Strategy:
    """Return the strategy of a decision or an option."""
    return Strategy(stage=decided.zero_stage, offload_optimizer=decided.offload_optimizer, offload_param=decided.offload_param)


def fit_memory(spec: FineTuneJobSpec, facts: ModelFacts | None, defaults: Defaults, *, begun_stage: int | None = None) -> MemoryFit:
    """Decide as `weigh_memory` does. Raises `PlanRejected`."""
    found = weigh_memory(spec, facts, defaults, begun_stage=begun_stage)
    if isinstance(found, Rejection):
        raise found.error()
    return found


def weigh_memory(
    spec: FineTuneJobSpec, facts: ModelFacts | None, defaults: Defaults, *, begun_stage: int | None = None
) -> MemoryFit | Rejection:
    """Decide. Without facts the decision is provisional. A rejection when the stage is Auto and nothing fits.

    `begun_stage` is that of the checkpoints there may be: `Auto` keeps to it when the number of ranks changes.
    """
    ground = ground_of(spec, defaults)
    allowed = _allowed(spec, ground)
    if isinstance(allowed, Rejection):
        return allowed
    allowed = [strategy for strategy in allowed if strategy.stage == begun_stage] or allowed
    if facts is None:
        return _provisional(spec, allowed, ground)
    load = workload_of(spec, facts)
    options = _options(spec, load, ground, allowed)
    weighed = [option for option in options if strategy_of(option) in allowed]
    weighed.sort(key=lambda option: allowed.index(strategy_of(option)))
    chosen = next((option for option in weighed if fits(option, ground)), None)
    if chosen is not None:
        return _decided(chosen, options, ground, load, why=_why_it_fits(chosen, weighed, ground))
    least = min(weighed, key=lambda option: option.needed)
    problem = _why_it_does_not(spec, load, least, ground)
    if leaves_stage_open(spec):
        return Rejection(reason="DoesNotFit", field="spec.deepspeed.stage", message=f"Auto finds nothing that fits: {problem}")
    return _decided(least, options, ground, load, why=problem)


def _allowed(spec: FineTuneJobSpec, ground: Ground) -> list[Strategy] | Rejection:
    asked = asked_strategies(spec, on_accelerator=ground.on_accelerator)
    if not leaves_stage_open(spec):
        return list(asked)
    objections = {strategy: objection(spec, strategy) for strategy in asked}
    if all(objections.values()):
        strategy, reason = next(iter(objections.items()))
        return Rejection(
            reason="CombinationImpossible",
            field="spec.deepspeed.offloadParam.device",
            message=f"leaves only {strategy.name} to choose, and {reason}; set it to none",
        )
    return [strategy for strategy in asked if not objections[strategy]]


def _options(spec: FineTuneJobSpec, load: Workload, ground: Ground, allowed: Sequence[Strategy]) -> tuple[MemoryOption, ...]:
    """Weigh every strategy, not only those allowed: the whole table is what people ask for."""
    every = dict.fromkeys([*every_strategy(on_accelerator=ground.on_accelerator), *allowed])
    options = (estimate(load, strategy, ground.world_size, on_accelerator=ground.on_accelerator) for strategy in every)
    return tuple(replace(option, refused=objection(spec, strategy_of(option))) for option in options)


def _decided(chosen: MemoryOption, options: tuple[MemoryOption, ...], ground: Ground, load: Workload, *, why: str) -> MemoryFit:
    return MemoryFit(
        zero_stage=chosen.zero_stage,
        offload_optimizer=chosen.offload_optimizer,
        offload_param=chosen.offload_param,
        world_size=ground.world_size,
        estimated_bytes_per_rank=chosen.states,
        available_bytes_per_rank=ground.available,
        why=why,
        table=tuple((option.name, option.states) for option in options),
        options=options,
        needed_bytes_per_rank=chosen.needed,
        fits=fits(chosen, ground) if ground.available is not None else None,
        arithmetic=arithmetic(load, strategy_of(chosen), ground.world_size),
    )


def _provisional(spec: FineTuneJobSpec, allowed: Sequence[Strategy], ground: Ground) -> MemoryFit:
    first = allowed[0]
    open_choice = leaves_stage_open(spec) or len(allowed) > 1
    why = (
        f"Auto: decided when Check has counted the parameters; {first.name} until then"
        if open_choice
        else f"{first.name} as asked; whether it fits is known when Check has counted the parameters"
    )
    return MemoryFit(
        zero_stage=first.stage,
        offload_optimizer=first.offload_optimizer,
        offload_param=first.offload_param,
        world_size=ground.world_size,
        estimated_bytes_per_rank=None,
        available_bytes_per_rank=ground.available,
        why=why,
    )


def _why_it_fits(chosen: MemoryOption, weighed: Sequence[MemoryOption], ground: Ground) -> str:
    if ground.available is None:
        return f"{chosen.name} on {_ranks(ground)} needs {_parts(chosen)}; the workers have no memory limit to compare with"
    passed = [option for option in weighed if not fits(option, ground)]
    passed = passed[: weighed.index(chosen)]
    others = f"; {', '.join(f'{option.name} would need {people_bytes(option.needed)}' for option in passed)}" if passed else ""
    return f"{chosen.name} on {_ranks(ground)} fits {people_bytes(ground.available)} per rank: it needs {_parts(chosen)}{others}"


def _why_it_does_not(spec: FineTuneJobSpec, load: Workload, least: MemoryOption, ground: Ground) -> str:
    available = people_bytes(ground.available or 0)
    short = f"{least.name} on {_ranks(ground)} needs {_parts(least)}, and a rank has {available}"
    if least.host:
        short += f" (and {people_bytes(least.host)} of the pod's own memory)"
    return f"{short}. Any one of these would fit: {'; '.join(ways_out(spec, load, least, ground))}"


def _parts(option: MemoryOption) -> str:
    parts = {
        "weights": option.weights,
        "gradients": option.gradients,
        "optimizer": option.optimizer,
        "buffers": option.buffers,
        "activations": option.activations,
        "the process": option.process,
    }
    return f"{people_bytes(option.needed)} ({', '.join(f'{name} {people_bytes(size)}' for name, size in parts.items() if size)})"


def _ranks(ground: Ground) -> str:
    return "1 rank" if ground.world_size == 1 else f"{ground.world_size} ranks"
