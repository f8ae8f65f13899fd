"""The graph of the ONNX Runtime GenAI builder: GroupQueryAttention over a cache that is updated in place.

One zeroed array [slots, kv_heads, max_length, head_size] per layer for keys and one for values is allocated once. A range of rows is a
contiguous range of bytes, so it is bound by pointer as `past_key_values.*` and, with the same pointer, as `present.*`: nothing is copied.
The operator takes each row's length from the sum of its mask and the place of the new tokens from the mask's width (com.microsoft
GroupQueryAttention, `seqlens_k` and `total_sequence_length`), which is why rows of different lengths, padded on the right, share a run.
A row is not cleared before reuse, because positions beyond its length are masked.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract.folders import DecoderGraph
from tunewright_server.engine.decoder import Logits, cache_names, differs_alone, graph_vocabulary, present_name
from tunewright_server.engine.request import Lengths

Ids = NDArray[np.int64]


class GqaDecoder:
    """Implements `Decoder`."""

    reads_in_pieces: bool = True
    start: tuple[int, ...] | None = None

    def __init__(self, session: ort.InferenceSession, graph: DecoderGraph, *, slots: int, max_length: int) -> None:
        self.slots = slots
        self.lengths = Lengths.shared(max_length)
        self._session = session
        self._takes_position_ids = graph.takes_position_ids
        self._dtype = np.dtype(graph.kv_dtype)
        shape = (slots, graph.kv_heads, max_length, graph.head_size)
        self._cache = {name: np.zeros(shape, self._dtype) for name in cache_names(graph)}
        self._lengths = np.zeros(slots, np.int64)
        self._differs_alone = differs_alone(session, graph)
        logits = next(node for node in session.get_outputs() if node.name == "logits")
        self._logits_dtype = np.dtype(np.float16 if "float16" in logits.type else np.float32)
        self._vocab_size = graph_vocabulary(session)

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Logits:
        end = start + len(tokens)
        ids = np.asarray(tokens, np.int64)[None]
        mask = np.ones((1, end), np.int64)
        logits = self._run(row, ids, mask, np.arange(start, end)[None])
        self._lengths[row] = end
        return np.asarray(logits[0])

    def decode(self, first_row: int, tokens: Sequence[int]) -> Logits:
        if len(tokens) == 1 and self._differs_alone and self.slots > 1:
            return self._decode_beside_another(first_row, tokens[0])
        rows = slice(first_row, first_row + len(tokens))
        lengths = self._lengths[rows]
        ids = np.asarray(tokens, np.int64)[:, None]
        mask = (np.arange(int(lengths.max()) + 1) <= lengths[:, None]).astype(np.int64)
        logits = self._run(first_row, ids, mask, lengths[:, None])
        self._lengths[rows] += 1
        return logits

    def _decode_beside_another(self, row: int, token: int) -> Logits:
        """Run the row together with a neighbour, and restore the part of the neighbour's cache that the graph overwrites."""
        other = row + 1 if row + 1 < self.slots else row - 1
        length = int(self._lengths[row])
        kept = {name: array[other, :, length].copy() for name, array in self._cache.items()}
        ids, mask = np.full((2, 1), token, np.int64), np.ones((2, length + 1), np.int64)
        logits = self._run(min(row, other), ids, mask, np.full((2, 1), length))
        for name, column in kept.items():
            self._cache[name][other, :, length] = column
        self._lengths[row] += 1
        return logits[[0 if row < other else 1]]

    def move(self, source: int, target: int) -> None:
        self.share(source, target, int(self._lengths[source]))

    def share(self, source: int, target: int, length: int) -> None:
        for array in self._cache.values():
            array[target, :, :length] = array[source, :, :length]
        self._lengths[target] = length

    def _run(self, first_row: int, ids: Ids, mask: Ids, positions: Ids) -> Logits:
        """Run rows `first_row` … with `ids` [n, s] and return the logits of the last position [n, vocab]."""
        count, width = ids.shape
        binding = self._session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", mask)
        if self._takes_position_ids:
            positions = np.ascontiguousarray(positions, np.int64)
            binding.bind_cpu_input("position_ids", positions)
        for name, array in self._cache.items():
            rows = array[first_row : first_row + count]
            for bind, bound in ((binding.bind_input, name), (binding.bind_output, present_name(name))):
                bind(bound, "cpu", 0, self._dtype, rows.shape, rows.ctypes.data)
        logits = np.empty((count, width, self._vocab_size), self._logits_dtype)
        binding.bind_output("logits", "cpu", 0, self._logits_dtype, logits.shape, logits.ctypes.data)
        self._session.run_with_iobinding(binding)
        return np.asarray(logits[:, -1], np.float32)
