"""The memory formula with a job's own numbers, line by line, so that a user can check it."""

from tunewright.plan.memory.estimate import Strategy, Workload, trained_bytes


def arithmetic(load: Workload, strategy: Strategy, world_size: int) -> tuple[tuple[str, str], ...]:
    """Return (term, formula) pairs whose values are the terms of `memory.estimate`, before anything is offloaded."""
    stage, trained = strategy.stage, trained_bytes(load, strategy.stage)
    size = trained.gradients // trained.count if trained.count else 0
    moments = (trained.optimizer / trained.count) if trained.count else 0
    shared = f" / {world_size} ranks" if stage else ""
    weights = [_frozen(load, stage)] if load.tuning == "adapter" else []
    weights.append(f"{trained.count:,} trained x {size} B")
    together = " + ".join(weights)
    return (
        ("weights", f"({together}){shared}" if stage == 3 else together),
        ("gradients", f"{trained.count:,} x {size} B{shared}"),
        ("optimizer", f"{trained.count:,} x {moments:g} B{shared}"),
        ("activations", f"estimated for {_pass(load)}; at least the fp32 gradients of the step"),
    )


def _pass(load: Workload) -> str:
    kept = "checkpointed" if load.gradient_checkpointing else "all kept"
    return f"{load.batch} x {load.length} tokens, {load.facts.layers} layers of {load.facts.hidden_size}, {kept}"


def _frozen(load: Workload, stage: int) -> str:
    facts, size = load.facts, load.compute_bytes if stage else load.loaded_bytes
    if load.quantized_bits is None:
        return f"{facts.parameters:,} frozen x {size} B"
    rest = facts.parameters - facts.linear_parameters
    return f"{facts.linear_parameters:,} quantised x {load.quantized_bits:.3f} bit + {rest:,} other x {size} B"
