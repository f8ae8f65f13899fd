"""Computes how many requests of which length fit. Only the key-value cache grows, and it is allocated in advance."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunewright_contract import environment
from tunewright_contract.folders import DecoderGraph, SequenceToSequenceGraph
from tunewright_server.engine.request import Lengths
from tunewright_server.refusal import RefusalError

DEFAULT_SLOTS = 16  # where throughput levelled off on CPU
DEFAULT_LENGTH = 4096  # tokens; a longer context must be explicit, because every slot allocates its cache
READING_ARRAYS = 7  # of heads x source x source numbers; the encoder of a T5 took 6.3 under ONNX Runtime 1.31
CACHE_SHARE = 0.5  # of the memory without weights, unless it is set; the rest is for activations, logits and the process


@dataclass(frozen=True)
class CacheCapacity:
    """`slots` requests of these lengths each."""

    slots: int
    lengths: Lengths
    cache_bytes: int


def bytes_per_token(graph: DecoderGraph | SequenceToSequenceGraph, heads: int) -> int:
    """Key and value, in every layer: 2 x layers x heads x head_size x bytes per number. Alike for source and target."""
    return 2 * graph.layers * heads * graph.head_size * (4 if graph.kv_dtype == "float32" else 2)


def share_memory(weights: Sequence[int], memory_bytes: int) -> list[int]:
    """Return how many bytes each model may use, its weights included.

    The memory without all weights is divided equally. A model whose part is too small is refused when its capacity is planned.
    """
    left = memory_bytes - sum(weights)
    return [weight + left // len(weights) for weight in weights]


def plan_capacity(
    graph: DecoderGraph, *, context: int, weight_bytes: int, memory_bytes: int, max_slots: int | None, max_length: int | None
) -> CacheCapacity:
    """Use the explicit settings and choose the others; `context` is the model's, in tokens.

    Raises `RefusalError` if the explicit settings cannot work.
    """
    check_length_fits(max_length, context=context)
    lengths = Lengths.shared(max_length or min(context, DEFAULT_LENGTH))
    return _plan(
        lengths,
        lengths.total,
        bytes_per_token(graph, graph.kv_heads),
        weight_bytes=weight_bytes,
        memory_bytes=memory_bytes,
        max_slots=max_slots,
    )


def plan_source_and_target(
    graph: SequenceToSequenceGraph,
    *,
    start: int,
    context: int,
    weight_bytes: int,
    memory_bytes: int,
    max_slots: int | None,
    max_length: int | None,
) -> CacheCapacity:
    """The same for a model whose row has a cache of the source and one of the target.

    `context` bounds the source, and the target where the graph does not. `max_length` bounds each. `start`: tokens of each target that are
    read before its answer. The encoder reads a source whole, so memory for its attention is set aside.
    Raises `RefusalError` if the explicit settings cannot work.
    """
    check_length_fits(max_length, context=context)
    source = max_length or min(context, DEFAULT_LENGTH)
    target = min(source, graph.max_target_length or source)
    if target <= start:
        raise RefusalError(
            "MaxLengthTooShort",
            f"a target of {target} tokens has no room for an answer: it begins with {start}, which are the same for every request",
            suggestion=f"raise {environment.MAX_LENGTH} above {start}",
        )
    reading_bytes = READING_ARRAYS * graph.heads * source * source * 4
    if weight_bytes + reading_bytes >= memory_bytes:
        raise RefusalError(
            "SourceDoesNotFit",
            f"reading a source of {source} tokens needs {_gib(reading_bytes)}, and the weights leave "
            f"{_gib(max(0, memory_bytes - weight_bytes))} of {_gib(memory_bytes)}",
            suggestion=f"lower {environment.MAX_LENGTH}, serve fewer models, or raise the memory limit",
        )
    return _plan(
        Lengths.separate(prompt=source, answer=target - start),
        source + target,
        bytes_per_token(graph, graph.heads),
        weight_bytes=weight_bytes + reading_bytes,
        memory_bytes=memory_bytes,
        max_slots=max_slots,
        besides="the weights and the reading of a source leave",
    )


def _plan(
    lengths: Lengths,
    row_tokens: int,
    token_bytes: int,
    *,
    weight_bytes: int,
    memory_bytes: int,
    max_slots: int | None,
    besides: str = "the weights leave",
) -> CacheCapacity:
    row_bytes = row_tokens * token_bytes
    free = max(0, memory_bytes - weight_bytes)
    slots = max_slots or max(1, min(DEFAULT_SLOTS, int(free * CACHE_SHARE) // row_bytes))
    if slots * row_bytes > free:
        raise RefusalError(
            "CacheDoesNotFit",
            f"the key-value cache needs {_gib(slots * row_bytes)}: {slots} slots x {row_tokens} tokens x "
            f"{token_bytes} bytes, and {besides} {_gib(free)} of {_gib(memory_bytes)}",
            suggestion=f"lower {environment.MAX_SLOTS} or {environment.MAX_LENGTH}, serve fewer models, or raise the memory limit",
        )
    return CacheCapacity(slots, lengths, slots * row_bytes)


def check_length_fits(max_length: int | None, *, context: int) -> None:
    """Raise `RefusalError` if requests can be longer than the model's context, in tokens."""
    if max_length is not None and max_length > context:
        raise RefusalError(
            "MaxLengthTooLong",
            f"{environment.MAX_LENGTH}={max_length} exceeds the model's context of {context} tokens",
            suggestion=f"use at most {context}",
        )


def check_weights_fit(weight_bytes: int, *, memory_bytes: int) -> None:
    """Raise `RefusalError` if a model without a cache leaves no memory for its runs."""
    if weight_bytes >= memory_bytes:
        raise RefusalError(
            "WeightsDoNotFit",
            f"the weights need {_gib(weight_bytes)}, and this model may use {_gib(memory_bytes)}",
            suggestion="serve fewer models, or raise the memory limit",
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
