"""Chooses ZeRO stage and offload: the explicit setting, or with `Auto` the smallest one that fits.

Promises a decision with all compared options and one sentence with the numbers. An explicit setting is kept, and reported if it does not
fit. `Auto` never takes a combination that is known to fail. Refuses if nothing fits, and names changes that would.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

from tunewright.api.v1alpha1.job import FineTuneJobSpec
from tunewright.plan.inputs import Defaults
from tunewright.plan.memory.alternatives import alternatives
from tunewright.plan.memory.estimate import Strategy, Workload, arithmetic, estimate
from tunewright.plan.memory.strategies import asked_strategies, every_strategy, leaves_stage_open, objection
from tunewright.plan.memory.workload import Capacity, capacity_of, fits, workload_of
from tunewright.plan.plan_types import MemoryFit, MemoryOption, Rejection
from tunewright_contract.quantities import people_bytes
from tunewright_contract.reports import ModelFacts

_MOST_DECISIONS = 256
_DECISIONS: Final[dict[bytes, MemoryFit | Rejection]] = {}  # the latest, by a hash of their arguments


def strategy_of(decided: MemoryFit | MemoryOption) -> Strategy:
    """Return the strategy of a decision or an option."""
    return Strategy(stage=decided.zero_stage, offload_optimizer=decided.offload_optimizer, offload_param=decided.offload_param)


def weigh_memory(
    spec: FineTuneJobSpec, facts: ModelFacts | None, defaults: Defaults, *, begun_stage: int | None = None
) -> MemoryFit | Rejection:
    """Decide. Without facts the decision is provisional. Returns a rejection if the stage is Auto and nothing fits.

    `begun_stage` is the stage of existing checkpoints: `Auto` keeps it when the number of ranks changes.

    Each reconcile decides again, mostly with the same arguments. This is most of a plan's processor time, so the latest decisions
    are kept by a hash of what they depend on.
    """
    question = _hash_of(spec, facts, defaults, begun_stage)
    decided = _DECISIONS.get(question)
    if decided is None:
        decided = _DECISIONS[question] = _weigh(spec, facts, defaults, begun_stage)
        if len(_DECISIONS) > _MOST_DECISIONS:
            _DECISIONS.pop(next(iter(_DECISIONS)), None)
    return decided


def _hash_of(spec: FineTuneJobSpec, facts: ModelFacts | None, defaults: Defaults, begun_stage: int | None) -> bytes:
    """Hash the arguments. Of the specification also which fields are written, because messages can depend on that."""
    written = (spec.model_dump_json(), spec.model_dump_json(exclude_unset=True), facts.model_dump_json() if facts else "")
    return sha256("\n".join((*written, repr(defaults), repr(begun_stage))).encode()).digest()


def _weigh(spec: FineTuneJobSpec, facts: ModelFacts | None, defaults: Defaults, begun_stage: int | None) -> MemoryFit | Rejection:
    capacity = capacity_of(spec, defaults)
    allowed = _allowed(spec, capacity)
    if isinstance(allowed, Rejection):
        return allowed
    allowed = [strategy for strategy in allowed if strategy.stage == begun_stage] or allowed
    if facts is None:
        return _provisional(spec, allowed, capacity)
    load = workload_of(spec, facts)
    options = _options(spec, load, capacity, allowed)
    weighed = [option for option in options if strategy_of(option) in allowed]
    weighed.sort(key=lambda option: allowed.index(strategy_of(option)))
    chosen = next((option for option in weighed if fits(option, capacity)), None)
    if chosen is not None:
        return _decided(chosen, options, capacity, load, why=_why_it_fits(chosen, weighed, capacity))
    least = min(weighed, key=lambda option: option.needed)
    problem = _why_it_does_not(spec, load, least, capacity)
    if leaves_stage_open(spec):
        return Rejection(reason="DoesNotFit", field="spec.deepspeed.stage", message=f"Auto finds nothing that fits: {problem}")
    return _decided(least, options, capacity, load, why=problem)


def _allowed(spec: FineTuneJobSpec, capacity: Capacity) -> list[Strategy] | Rejection:
    asked = asked_strategies(spec, on_accelerator=capacity.on_accelerator)
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


def _options(spec: FineTuneJobSpec, load: Workload, capacity: Capacity, allowed: Sequence[Strategy]) -> tuple[MemoryOption, ...]:
    """Estimate every strategy, not only those allowed, because users want to compare all of them."""
    every = dict.fromkeys([*every_strategy(on_accelerator=capacity.on_accelerator), *allowed])
    options = (estimate(load, strategy, capacity.world_size, on_accelerator=capacity.on_accelerator) for strategy in every)
    return tuple(replace(option, refused=objection(spec, strategy_of(option))) for option in options)


def _decided(chosen: MemoryOption, options: tuple[MemoryOption, ...], capacity: Capacity, load: Workload, *, why: str) -> MemoryFit:
    return MemoryFit(
        zero_stage=chosen.zero_stage,
        offload_optimizer=chosen.offload_optimizer,
        offload_param=chosen.offload_param,
        world_size=capacity.world_size,
        estimated_bytes_per_rank=chosen.states,
        available_bytes_per_rank=capacity.available,
        why=why,
        table=tuple((option.name, option.states) for option in options),
        options=options,
        needed_bytes_per_rank=chosen.needed,
        fits=fits(chosen, capacity) if capacity.available is not None else None,
        arithmetic=arithmetic(load, strategy_of(chosen), capacity.world_size),
    )


def _provisional(spec: FineTuneJobSpec, allowed: Sequence[Strategy], capacity: Capacity) -> MemoryFit:
    first = allowed[0]
    open_choice = leaves_stage_open(spec) or len(allowed) > 1
    why = (
        f"Auto: decided after Check has counted the parameters; {first.name} until then"
        if open_choice
        else f"{first.name} as set; Check counts the parameters, then the plan shows whether it fits"
    )
    return MemoryFit(
        zero_stage=first.stage,
        offload_optimizer=first.offload_optimizer,
        offload_param=first.offload_param,
        world_size=capacity.world_size,
        estimated_bytes_per_rank=None,
        available_bytes_per_rank=capacity.available,
        why=why,
    )


def _why_it_fits(chosen: MemoryOption, weighed: Sequence[MemoryOption], capacity: Capacity) -> str:
    if capacity.available is None:
        return f"{chosen.name} on {_ranks(capacity)} needs {_parts(chosen)}; the workers have no memory limit to compare with"
    passed = [option for option in weighed if not fits(option, capacity)]
    passed = passed[: weighed.index(chosen)]
    others = f"; {', '.join(f'{option.name} would need {people_bytes(option.needed)}' for option in passed)}" if passed else ""
    return f"{chosen.name} on {_ranks(capacity)} fits {people_bytes(capacity.available)} per rank: it needs {_parts(chosen)}{others}"


def _why_it_does_not(spec: FineTuneJobSpec, load: Workload, least: MemoryOption, capacity: Capacity) -> str:
    available = people_bytes(capacity.available or 0)
    short = f"{least.name} on {_ranks(capacity)} needs {_parts(least)}, and a rank has {available}"
    if least.host:
        short += f" (and {people_bytes(least.host)} of the pod's own memory)"
    return f"{short}. Any one of these would fit: {'; '.join(alternatives(spec, load, least, capacity))}"


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


def _ranks(capacity: Capacity) -> str:
    return "1 rank" if capacity.world_size == 1 else f"{capacity.world_size} ranks"
