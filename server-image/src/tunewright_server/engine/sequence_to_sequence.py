"""A model with an encoder: a row has the keys and values of its source, which are read once, and those of its target, which grow.

The prompt is the source. It is read whole, because each of its tokens attends to all others. Then the graph reads the tokens that every
target begins with, and the answer is what follows. An answer of this kind shares no sequence with its prompt.

A row's numbers must not depend on the rows beside it. So no row is padded: rows share a run when their sources have one length and their
targets, too. A source and the beginning of its target are read alone. Whether rows of one length have the same numbers together and alone
is measured when the graphs are loaded (see `Sharing`). Gathering the rows copies their caches, as in `dynamic_cache`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract.folders import SequenceToSequenceGraph
from tunewright_server.engine.decoder import Logits, cache_names, present_name
from tunewright_server.engine.graph_names import check_inputs, check_outputs, mismatch
from tunewright_server.engine.request import Lengths

Array = NDArray[np.floating]
_CROSS = "cross"
_TRIED_LENGTHS = (2, 9)  # tokens of a source
_TRIED_ROWS = 5


class Sharing(Enum):
    """Which rows of one length may share a run, so that each has the numbers that it has without the others."""

    ANY = "any"  # the numbers are equal to the last bit, alone and together
    NOT_ALONE = "not alone"  # equal in runs of two rows and more: a single row is run twice
    NONE = "none"  # as with dynamic quantization, which takes one scale for a whole run


@dataclass
class _Row:
    """Keys and values, two arrays for each layer: of the source [heads, s, head_size], and of the target [heads, p, head_size]."""

    source: list[Array]
    target: list[Array]


class SequenceToSequenceDecoder:
    """Implements `Decoder`."""

    reads_in_pieces: bool = False

    def __init__(
        self,
        encoder: ort.InferenceSession,
        decoder: ort.InferenceSession,
        graph: SequenceToSequenceGraph,
        *,
        slots: int,
        lengths: Lengths,
        vocab_size: int,
    ) -> None:
        """`lengths` and `vocab_size` in tokens. Raises `RefusalError` (65) when the graphs are not the manifest's."""
        check_graphs(encoder, decoder, graph, vocab_size=vocab_size)
        self.slots = slots
        self.lengths = lengths
        self.start: tuple[int, ...] | None = start_of(graph)
        self._start = start_of(graph)
        self._encoder = encoder
        self._decoder = decoder
        self._cross = cache_names(graph, _CROSS)
        self._past = cache_names(graph)
        self._outputs = ["logits", *(present_name(name) for name in self._past)]
        self._suppressed = list(graph.suppressed_token_ids)
        self._none = [np.zeros((graph.heads, 0, graph.head_size), graph.kv_dtype) for _ in self._past]
        self._rows = [_Row(self._none, self._none)] * slots
        self.sharing = self._measure_sharing(vocab_size)

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Logits:
        if start:
            raise ValueError(f"a source is read whole, and not from token {start} on")
        self._rows[row], logits = self._read(tokens)
        return logits

    def decode(self, first_row: int, tokens: Sequence[int]) -> Logits:
        alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for offset in range(len(tokens)):
            row = self._rows[first_row + offset]
            alike[row.source[0].shape[1], row.target[0].shape[1]].append(offset)
        logits: dict[int, Logits] = {}
        for offsets in alike.values():
            for run in self._runs(offsets):
                rows = [self._rows[first_row + offset] for offset in run]
                found, continued = self._run(rows, [[tokens[offset]] for offset in run])
                for index, offset in enumerate(run):
                    logits[offset] = found[index]
                    self._rows[first_row + offset] = continued[index]
        return np.stack([logits[offset] for offset in range(len(tokens))])

    def move(self, source: int, target: int) -> None:
        self._rows[target] = self._rows[source]

    def share(self, source: int, target: int, length: int) -> None:
        row = self._rows[source]
        if length != row.source[0].shape[1]:
            raise ValueError(f"a source of {row.source[0].shape[1]} tokens is shared whole, and not {length} of them")
        self._rows[target] = _Row(row.source, [array[:, : len(self._start)] for array in row.target])

    def _read(self, tokens: Sequence[int]) -> tuple[_Row, Logits]:
        """Read a source and the beginning of its target, alone."""
        ids = np.asarray(tokens, np.int64)[None]
        source = self._encoder.run(self._cross, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
        logits, (row,) = self._run([_Row([np.asarray(array)[0] for array in source], self._none)], [list(self._start)])
        return row, logits[0]

    def _runs(self, offsets: list[int]) -> list[list[int]]:
        if self.sharing is Sharing.NONE:
            return [[offset] for offset in offsets]
        return [offsets * 2] if len(offsets) == 1 and self.sharing is Sharing.NOT_ALONE else [offsets]

    def _run(self, rows: Sequence[_Row], tokens: Sequence[Sequence[int]]) -> tuple[Logits, list[_Row]]:
        """Append `tokens` [n, t] to the targets of n rows of one length; return the last logits [n, vocab], and the longer rows."""
        feeds = {name: _stacked([row.source[index] for row in rows]) for index, name in enumerate(self._cross)}
        feeds |= {name: _stacked([row.target[index] for row in rows]) for index, name in enumerate(self._past)}
        feeds["input_ids"] = np.asarray(tokens, np.int64)
        feeds["encoder_attention_mask"] = np.ones((len(rows), rows[0].source[0].shape[1]), np.int64)
        found, *present = self._decoder.run(self._outputs, feeds)
        logits = np.array(found[:, -1], np.float32)
        logits[:, self._suppressed] = -np.inf
        return logits, [_Row(row.source, [array[index] for array in present]) for index, row in enumerate(rows)]

    def _measure_sharing(self, vocab_size: int) -> Sharing:
        random = np.random.default_rng(0)
        found = {Sharing.ANY}
        for length in {min(each, self.lengths.prompt) for each in _TRIED_LENGTHS}:
            rows = [self._read(random.integers(vocab_size, size=length).tolist())[0] for _ in range(_TRIED_ROWS)]
            tokens = [[int(each)] for each in random.integers(vocab_size, size=_TRIED_ROWS)]
            together = self._run(rows, tokens)[0]
            pair = self._run(rows[:2], tokens[:2])[0]
            alone = np.concatenate([self._run([row], [token])[0] for row, token in zip(rows, tokens, strict=True)])
            if not np.array_equal(together[:2], pair):
                found.add(Sharing.NONE)
            elif not np.array_equal(together, alone):
                found.add(Sharing.NOT_ALONE)
        return next(each for each in (Sharing.NONE, Sharing.NOT_ALONE, Sharing.ANY) if each in found)


def start_of(graph: SequenceToSequenceGraph) -> tuple[int, ...]:
    """Return what every target begins with. These tokens are read, not generated, and never shown."""
    forced = graph.forced_bos_token_id
    return (graph.decoder_start_token_id,) if forced is None else (graph.decoder_start_token_id, forced)


def check_graphs(encoder: ort.InferenceSession, decoder: ort.InferenceSession, graph: SequenceToSequenceGraph, *, vocab_size: int) -> None:
    """Compare inputs, outputs and sizes with the manifest. Raises `RefusalError` (65) naming the graph and the first difference."""
    beyond = [token for token in (*start_of(graph), *graph.suppressed_token_ids) if not 0 <= token < vocab_size]
    if beyond:
        raise mismatch(f"of {vocab_size} tokens lacks token id {beyond[0]}, which the manifest names", graph="the vocabulary")
    cross, past = cache_names(graph, _CROSS), cache_names(graph)
    outputs = {node.name: node.shape for node in encoder.get_outputs()}
    check_inputs([node.name for node in encoder.get_inputs()], ["input_ids", "attention_mask"], graph="the encoder")
    check_outputs(outputs, cross, graph="the encoder")
    inputs = {node.name: node.shape for node in decoder.get_inputs()}
    check_inputs(inputs, ["input_ids", "encoder_attention_mask", *cross, *past], graph="the decoder")
    check_outputs([node.name for node in decoder.get_outputs()], ["logits", *(present_name(name) for name in past)], graph="the decoder")
    for which, shapes in (("the encoder", {name: outputs[name] for name in cross}), ("the decoder", inputs)):
        for name in (each for each in (*cross, *past) if each in shapes):
            for axis, wanted in ((1, graph.heads), (3, graph.head_size)):
                size = shapes[name][axis]
                if isinstance(size, int) and size != wanted:  # a name instead of a number is decided at run time
                    raise mismatch(f"has size {size} in axis {axis} of {name}, the manifest says {wanted}", graph=which)


def _stacked(arrays: Sequence[Array]) -> Array:
    """One array for all rows; a single row is not copied."""
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
