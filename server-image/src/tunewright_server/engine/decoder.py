"""The scheduler's interface to a graph: a decoder with rows, independent of its kind of cache."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract import environment
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import DecoderGraph, SequenceToSequenceGraph
from tunewright_server.engine.graph_names import check_inputs, mismatch
from tunewright_server.engine.request import Lengths
from tunewright_server.refusal import RefusalError

Logits = NDArray[np.float32]
_SUFFIX = "ExecutionProvider"
_TRIED_TOKENS = 8


class Decoder(Protocol):
    """`slots` rows, each holding the keys and values of a prompt and its answer. Not thread-safe.

    A row's first tokens are the prompt, and those after it are the answer, also where a model has a cache for each of them.
    """

    slots: int
    lengths: Lengths
    reads_in_pieces: bool  # whether several calls of `prefill` may read one prompt
    start: tuple[int, ...] | None  # tokens that every answer continues; None: it continues its prompt

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Logits:
        """Append `tokens` of a prompt to the first `start` tokens of `row`, dropping later ones; return the logits [vocab]
        behind the last one.
        """

    def decode(self, first_row: int, tokens: Sequence[int]) -> Logits:
        """Append one token to each of the rows `first_row`, `first_row + 1`, …; return the logits [len(tokens), vocab]."""

    def move(self, source: int, target: int) -> None:
        """Move the content of row `source` to row `target`."""

    def share(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of row `source` to row `target`."""


def resolve_providers(names: Sequence[str]) -> list[str]:
    """Turn `CPU` or `CPUExecutionProvider` into ONNX Runtime's names, in order of preference.

    Raises `RefusalError` for one that this build of ONNX Runtime lacks, with the list of those it has.
    """
    available = ort.get_available_providers()
    known = {provider.removesuffix(_SUFFIX).lower(): provider for provider in available}
    usable = ", ".join(provider.removesuffix(_SUFFIX) for provider in available)
    for name in names:
        if name.removesuffix(_SUFFIX).lower() not in known:
            raise RefusalError(
                "ExecutionProviderUnavailable",
                f"{environment.EXECUTION_PROVIDERS} asks for {name!r}, which this ONNX Runtime {ort.__version__} does not have",
                suggestion=f"use one of {usable}, or an image built for {name}",
            )
    return [known[name.removesuffix(_SUFFIX).lower()] for name in names]


def open_session(graph: Path, *, providers: Sequence[str], threads: int) -> ort.InferenceSession:
    """Load a graph. Its idle threads do not spin, so they take no time from other pods. This does not slow down the server.

    Raises `RefusalError` (65).
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(graph), options, providers=list(providers))
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes here
        raise RefusalError(
            "GraphUnreadable",
            f"ONNX Runtime {ort.__version__} cannot load {graph}: {str(error).splitlines()[0]}",
            suggestion="export the model again with the versions of this release",
            exit_code=ExitCode.DATA,
        ) from error


def check_graph(session: ort.InferenceSession, graph: DecoderGraph) -> None:
    """Compare the session's inputs with the manifest. Raises `RefusalError` (65) naming the first difference."""
    found = {node.name: node.shape for node in session.get_inputs()}
    expected = {"input_ids", "attention_mask", *cache_names(graph)}
    if graph.takes_position_ids:
        expected.add("position_ids")
    check_inputs(found, expected)
    for name in cache_names(graph):
        for axis, wanted in ((1, graph.kv_heads), (3, graph.head_size)):
            size = found[name][axis]
            if isinstance(size, int) and size != wanted:  # a name instead of a number is a dynamic size
                raise mismatch(f"has size {size} in axis {axis} of {name}, the manifest says {wanted}")


def differs_alone(session: ort.InferenceSession, graph: DecoderGraph) -> bool:
    """Whether this processor's kernels compute other logits for a token that is read alone than among others.

    On some processors ONNX Runtime has a separate kernel for one row times quantised weights, which rounds in another order.
    """
    tokens = np.arange(1, 1 + min(_TRIED_TOKENS, graph_vocabulary(session) - 1), dtype=np.int64)[:, None]
    together = _first_logits(session, graph, tokens)
    alone = np.concatenate([_first_logits(session, graph, token[None]) for token in tokens])
    return not np.array_equal(together, alone)


def _first_logits(session: ort.InferenceSession, graph: DecoderGraph, ids: NDArray[np.int64]) -> Logits:
    """The logits of sequences of one token each, [n, 1, vocab]."""
    empty = np.zeros((len(ids), graph.kv_heads, 0, graph.head_size), graph.kv_dtype)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), **dict.fromkeys(cache_names(graph), empty)}
    if graph.takes_position_ids:
        feeds["position_ids"] = np.zeros_like(ids)
    return np.asarray(session.run(["logits"], feeds)[0])


def graph_vocabulary(session: ort.InferenceSession) -> int:
    """Size of the vocabulary of the graph's logits."""
    return int(next(node for node in session.get_outputs() if node.name == "logits").shape[-1])


def cache_names(graph: DecoderGraph | SequenceToSequenceGraph, prefix: str = "past_key_values") -> list[str]:
    """Names of the cache inputs, layer by layer."""
    return [f"{prefix}.{layer}.{part}" for layer in range(graph.layers) for part in ("key", "value")]


def present_name(past: str) -> str:
    """Name of the output that continues the cache input `past`."""
    return past.replace("past_key_values", "present")
