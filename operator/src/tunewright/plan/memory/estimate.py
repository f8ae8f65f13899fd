"""How many bytes a rank needs to train: model states exactly, buffers as named constants, activations as an estimate.

Model states follow Rajbhandari et al. 2020 (ZeRO, arXiv:1910.02054): (2 + 2 + K) bytes per parameter with K = 12 for mixed-precision
Adam, of which a stage divides a part by the number of ranks N:

    stage 0        w + g + K
    stage 1, 2     w + (g + K) / N          (stage 1 in the paper: w + g + K / N)
    stage 3        (w + g + K) / N
    no DeepSpeed   w + g + K with w = g = 4 and K = 8: the weights are fp32 themselves, whatever type they are loaded in

Only trained parameters have g and K; frozen ones cost their weights, divided by N at stage 3 alone. The formula does not
cover activations: they are estimated separately, from Korthikanti et al. 2022 (arXiv:2205.05198), and shown separately.

`arithmetic` shows the formula with a job's own numbers, line by line, so that a user can check it.
"""

from dataclasses import dataclass, replace
from typing import Literal

from tunewright.plan.plan_types import MemoryOption
from tunewright_contract.capabilities.optimizers import DEFAULT_OPTIMIZER, OPTIMIZERS
from tunewright_contract.reports import ModelFacts

MASTER_BYTES = 4  # the fp32 copy that ZeRO updates. DeepSpeed 0.19.8 keeps it in fp32 training too, where it is a second one.
FP32_GRADIENT_BYTES = 4  # at the step a rank's share of the gradients is cast to fp32, after the activations are freed

# Values of the DeepSpeed configuration as `trainer_config` leaves them: `auto` for the bucket is hidden_size**2, the rest are defaults.
MAX_LIVE_PARAMETERS = 10**9  # stage3_max_live_parameters: the most that stage 3 gathers during forward and backward
SUB_GROUP_PARAMETERS = 10**9  # sub_group_size: stage 3 steps through its share in such pieces

# Resident memory of a rank beside its model: the imports of torch, transformers, trl and deepspeed (measured: 866 MiB) and what gloo,
# oneDNN and the data take in a real run (peak of a rank of a 4.5 M model under ZeRO-3, less all other terms: 1171 MiB).
CPU_PROCESS_BYTES = 1200 * 2**20
# CUDA context, cuBLAS and NCCL workspaces and the allocator's fragmentation: a round figure, not measured here.
ACCELERATOR_PROCESS_BYTES = 2 * 2**30

# Korthikanti et al. 2022, equation 1: a transformer layer keeps 34 * s * b * h bytes in 16 bit, without the attention matrix, which
# flash, memory-efficient and sdpa attention never store. Eager attention adds 5 * a * s**2 * b.
LAYER_ACTIVATION_BYTES = 34
EAGER_ATTENTION_BYTES = 5
SMALLEST_COMMON_HEAD = 64  # the facts do not have the number of heads; hidden_size / 64 is an upper bound
# TRL 1.16 projects to the vocabulary in tiles of 4096 tokens, in fp32, and never holds all logits (trl/kernels/chunked_logprob.py).
LOGIT_TILE_TOKENS = 4096
LOGIT_COPIES = 2  # the tile and its gradient

Tuning = Literal["full", "adapter"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What one rank needs in memory before ZeRO divides it. Weight sizes are bytes per parameter."""

    facts: ModelFacts
    tuning: Tuning = "adapter"
    loaded_bytes: int = 2  # of a base weight as loaded (model.dtype)
    compute_bytes: int = 2  # of a weight under DeepSpeed (training.precision)
    quantized_bits: float | None = None  # of a linear weight of the base
    moment_bytes: float = OPTIMIZERS[DEFAULT_OPTIMIZER].state_bytes  # that the optimizer keeps per trained parameter beside the weights
    batch: int = 1  # examples per rank and forward pass
    length: int = 1024  # tokens per example
    gradient_checkpointing: bool = True
    eager_attention: bool = False
    projects_to_vocabulary: bool = True  # False for a classifier, whose few logits are not counted
    overlap_comm: bool | None = None
    reduce_bucket: int | None = None  # elements; None: hidden_size**2

    @property
    def trained(self) -> int:
        """Parameters with gradients."""
        return self.facts.trainable_parameters


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A ZeRO stage (0: plain DDP) and where optimizer and parameters live."""

    stage: int
    offload_optimizer: str = "none"
    offload_param: str = "none"

    @property
    def name(self) -> str:
        """Return its name in tables and sentences."""
        words = ["DDP" if self.stage == 0 else f"ZeRO-{self.stage}"]
        words += [f"optimizer on {self.offload_optimizer}"] * (self.offload_optimizer != "none")
        words += [f"parameters on {self.offload_param}"] * (self.offload_param != "none")
        return " + ".join(words)


def paper_bytes(parameters: int, stage: int, world_size: int, *, k: int = 12) -> float:
    """Return the ZeRO paper's figure 1: bytes per rank of `parameters` trained ones in mixed precision.

    Stages 0 to 3 are baseline, P_os, P_os+g and P_os+g+p.
    """
    divided = (0, k, 2 + k, 4 + k)[stage]
    return parameters * (4 + k - divided + divided / world_size)


def quantized_bytes(facts: ModelFacts, bits: float, rest_bytes: int = 2) -> int:
    """Return the size of a quantised base: its linear weights in `bits`, embeddings, head and norms unchanged."""
    return round(facts.linear_parameters * bits / 8) + (facts.parameters - facts.linear_parameters) * rest_bytes


def estimate(load: Workload, strategy: Strategy, world_size: int, *, on_accelerator: bool) -> MemoryOption:
    """Return what one rank of `world_size` needs under a strategy.

    Without an accelerator, states that are offloaded to the cpu stay in the rank's own memory and are counted there.
    """
    stage = strategy.stage
    spread = world_size if stage else 1
    trained, frozen = trained_bytes(load, stage), _frozen_bytes(load, stage)
    weights = (trained.weights + frozen) // (spread if stage == 3 else 1)
    gradients, optimizer = trained.gradients // spread, trained.optimizer // spread
    option = MemoryOption(
        name=strategy.name,
        zero_stage=stage,
        offload_optimizer=strategy.offload_optimizer,
        offload_param=strategy.offload_param,
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        buffers=_buffers(load, stage, world_size, trained.weights + frozen, on_accelerator=on_accelerator),
        activations=activation_bytes(load),
        process=ACCELERATOR_PROCESS_BYTES if on_accelerator else CPU_PROCESS_BYTES,
    )
    if strategy.offload_optimizer == "none" or not on_accelerator:
        option = replace(option, activations=max(option.activations, _step_bytes(load, stage, spread)))
    return _offloaded(option, strategy, fp32_gradients=trained.count * FP32_GRADIENT_BYTES // spread) if on_accelerator else option


def overlaps_by_default(stage: int, *, on_accelerator: bool) -> bool:
    """Return whether gradients are reduced during the backward pass: DeepSpeed's default (stage 3), but never on processors.

    It needs a second bucket, and gloo has no second stream that would make it faster.
    """
    return stage == 3 and on_accelerator


def activation_bytes(load: Workload) -> int:
    """Estimate the activations of one forward and backward pass over `batch` examples of `length` tokens.

    With checkpointing: each layer's input, and one layer at a time in full. Without: every layer in full. Plus one tile of logits,
    where the head is a language model's.
    An estimate that ignores the width of the MLP and fused kernels: it is within a factor of two, usually too high.
    """
    facts, tokens = load.facts, load.batch * load.length
    in_16_bit = tokens * facts.hidden_size * LAYER_ACTIVATION_BYTES
    if load.eager_attention:
        heads = max(1, facts.hidden_size // SMALLEST_COMMON_HEAD)
        in_16_bit += EAGER_ATTENTION_BYTES * heads * load.length**2 * load.batch
    layer = in_16_bit * load.compute_bytes // 2
    kept = facts.layers * tokens * facts.hidden_size * load.compute_bytes + layer if load.gradient_checkpointing else facts.layers * layer
    return kept + (LOGIT_COPIES * min(tokens, LOGIT_TILE_TOKENS) * facts.vocab_size * 4 if load.projects_to_vocabulary else 0)


@dataclass(frozen=True, kw_only=True)
class TrainedBytes:
    """The trained parameters' bytes before ZeRO divides them."""

    count: int
    weights: int
    gradients: int
    optimizer: int


def trained_bytes(load: Workload, stage: int) -> TrainedBytes:
    """Return the bytes of the trained parameters on one rank alone."""
    if stage:
        size, master = load.compute_bytes, MASTER_BYTES
    else:
        size, master = 4, 0  # plain DDP has no master copies, so the trained weights are fp32 themselves
    optimizer = round(load.trained * (master + load.moment_bytes))
    return TrainedBytes(count=load.trained, weights=load.trained * size, gradients=load.trained * size, optimizer=optimizer)


def _frozen_bytes(load: Workload, stage: int) -> int:
    if load.tuning == "full":
        return 0
    size = load.compute_bytes if stage else load.loaded_bytes
    if load.quantized_bits is not None:
        return quantized_bytes(load.facts, load.quantized_bits, size)
    return load.facts.parameters * size


def _buffers(load: Workload, stage: int, world_size: int, all_weights: int, *, on_accelerator: bool) -> int:
    gradient_bytes = load.trained * load.compute_bytes
    if stage == 0:
        # DDP's buckets are a copy of the gradients (torch's `gradient_as_bucket_view` is off). Autocast keeps a 16-bit copy of each trained
        # weight from the forward pass until the backward pass has used it.
        buckets = trained_bytes(load, 0).gradients if world_size > 1 else 0
        return buckets + (gradient_bytes if load.compute_bytes == 2 else 0)
    bucket = (load.reduce_bucket or load.facts.hidden_size**2) * load.compute_bytes
    overlap = load.overlap_comm if load.overlap_comm is not None else overlaps_by_default(stage, on_accelerator=on_accelerator)
    buckets = bucket * (2 if overlap else 1)
    if stage == 1:
        # Stage 1 reduces after the backward pass, so all gradients exist once before they are divided.
        return buckets + gradient_bytes - gradient_bytes // world_size
    if stage == 2:
        return buckets
    held = load.facts.parameters + (load.trained if load.tuning == "adapter" else 0)
    live = max(load.facts.largest_layer_parameters, min(held, MAX_LIVE_PARAMETERS))
    return buckets + all_weights * live // held


def _step_bytes(load: Workload, stage: int, spread: int) -> int:
    if stage == 0 or load.compute_bytes == FP32_GRADIENT_BYTES:
        return 0
    share = -(-load.trained // spread)
    return FP32_GRADIENT_BYTES * (min(share, SUB_GROUP_PARAMETERS) if stage == 3 else share)


def _offloaded(option: MemoryOption, strategy: Strategy, *, fp32_gradients: int) -> MemoryOption:
    """Move the offloaded states off the accelerator. The rank's gradients move with the optimizer, as fp32. NVMe takes no memory."""
    host = 0
    if strategy.offload_optimizer != "none":
        host += (option.optimizer if strategy.offload_optimizer == "cpu" else 0) + fp32_gradients
        whole_at_first = option.gradients if option.zero_stage == 1 else 0  # complete until they are divided and moved
        option = replace(option, gradients=0, optimizer=0, buffers=option.buffers + whole_at_first)
    if strategy.offload_param != "none":
        host += option.weights if strategy.offload_param == "cpu" else 0
        option = replace(option, weights=0)
    return replace(option, host=host)


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
