"""A graph exported by torch: past and present are separate tensors, and the past grows by one token per step.

Rows of different lengths are decoded together by padding the past on the left and masking the padding; positions are given explicitly,
so a row's numbers do not depend on its padding. The graph copies the whole past in every step by its nature (it concatenates), and
gathering the rows copies it once more: the price of a graph that no fused operator exists for.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract.model_manifest import DecoderGraph
from tunewright_server.engine.decoder import Logits, cache_names, present_name


class DynamicCacheDecoder:
    """Implements `Decoder`. A row is a list of arrays [kv_heads, length, head_size], two per layer."""

    def __init__(self, session: ort.InferenceSession, graph: DecoderGraph, *, slots: int, max_length: int) -> None:
        self.slots = slots
        self.max_length = max_length
        self._session = session
        self._takes_position_ids = graph.takes_position_ids
        self._names = cache_names(graph)
        self._outputs = ["logits", *(present_name(name) for name in self._names)]
        self._empty = [np.zeros((graph.kv_heads, 0, graph.head_size), graph.kv_dtype) for _ in self._names]
        self._rows = [self._empty] * slots

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Logits:
        self._rows[row] = [array[:, :start] for array in self._rows[row]] if start else self._empty
        return np.asarray(self._run(row, np.asarray(tokens, np.int64)[None])[0])

    def decode(self, first_row: int, tokens: Sequence[int]) -> Logits:
        return self._run(first_row, np.asarray(tokens, np.int64)[:, None])

    def move(self, source: int, target: int) -> None:
        self._rows[target] = self._rows[source]

    def share(self, source: int, target: int, length: int) -> None:
        self._rows[target] = [array[:, :length] for array in self._rows[source]]

    def _run(self, first_row: int, ids: NDArray[np.int64]) -> Logits:
        """Append `ids` [n, s] to the rows `first_row` … and return the logits of the last position [n, vocab]."""
        count, width = ids.shape
        rows = self._rows[first_row : first_row + count]
        lengths = np.array([row[0].shape[1] for row in rows])
        longest = int(lengths.max())
        feeds = {name: _pad_left([row[index] for row in rows], longest) for index, name in enumerate(self._names)}
        feeds["input_ids"] = ids
        feeds["attention_mask"] = (np.arange(longest + width) >= longest - lengths[:, None]).astype(np.int64)
        if self._takes_position_ids:
            feeds["position_ids"] = lengths[:, None] + np.arange(width)
        logits, *present = self._session.run(self._outputs, feeds)
        for offset, length in enumerate(lengths):
            self._rows[first_row + offset] = [array[offset, :, longest - length :] for array in present]
        return np.asarray(logits[:, -1], np.float32)


def _pad_left(arrays: list[NDArray[np.generic]], length: int) -> NDArray[np.generic]:
    """Stack [heads, n_i, size] into [rows, heads, length, size]."""
    heads, _, size = arrays[0].shape
    padded = np.zeros((len(arrays), heads, length, size), arrays[0].dtype)
    for row, array in enumerate(arrays):
        padded[row, :, length - array.shape[1] :] = array
    return padded
