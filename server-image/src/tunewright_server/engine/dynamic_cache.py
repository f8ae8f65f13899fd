"""A graph exported by torch: past and present are separate tensors, and the past grows by one token per step.

Rows of one length are decoded together, and no row is padded: sums over masked padding round differently in the last bits, which 8-bit
activations enlarge until another token is the most likely. So a row's numbers do not depend on other rows. The graph concatenates, so it
copies the whole past in every step, and gathering the rows copies it once more. This is the cost of a graph without a fused operator.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract.folders import DecoderGraph
from tunewright_server.engine.decoder import Logits, cache_names, differs_alone, present_name
from tunewright_server.engine.request import Lengths


class DynamicCacheDecoder:
    """Implements `Decoder`. A row is a list of arrays [kv_heads, length, head_size], two per layer."""

    reads_in_pieces: bool = True
    start: tuple[int, ...] | None = None

    def __init__(self, session: ort.InferenceSession, graph: DecoderGraph, *, slots: int, max_length: int) -> None:
        self.slots = slots
        self.lengths = Lengths.shared(max_length)
        self._session = session
        self._takes_position_ids = graph.takes_position_ids
        self._names = cache_names(graph)
        self._outputs = ["logits", *(present_name(name) for name in self._names)]
        self._empty = [np.zeros((graph.kv_heads, 0, graph.head_size), graph.kv_dtype) for _ in self._names]
        self._rows = [self._empty] * slots
        self._least_rows = 2 if differs_alone(session, graph) else 1

    def prefill(self, row: int, tokens: Sequence[int], start: int) -> Logits:
        self._rows[row] = [array[:, :start] for array in self._rows[row]] if start else self._empty
        return np.asarray(self._run([row], np.asarray(tokens, np.int64)[None])[0])

    def decode(self, first_row: int, tokens: Sequence[int]) -> Logits:
        by_length: defaultdict[int, list[int]] = defaultdict(list)
        for offset in range(len(tokens)):
            by_length[self._length(first_row + offset)].append(offset)
        ids = np.asarray(tokens, np.int64)[:, None]
        logits: dict[int, Logits] = {}
        for offsets in by_length.values():
            run = offsets * self._least_rows if len(offsets) == 1 else offsets  # a single row is run twice if it must not run alone
            logits |= zip(run, self._run([first_row + offset for offset in run], ids[run]), strict=True)
        return np.stack([logits[offset] for offset in range(len(tokens))])

    def move(self, source: int, target: int) -> None:
        self._rows[target] = self._rows[source]

    def share(self, source: int, target: int, length: int) -> None:
        self._rows[target] = [array[:, :length] for array in self._rows[source]]

    def _length(self, row: int) -> int:
        return self._rows[row][0].shape[1]

    def _run(self, rows: Sequence[int], ids: NDArray[np.int64]) -> Logits:
        """Append `ids` [n, s] to the n `rows`, which are of one length, and return the logits of the last position [n, vocab]."""
        count, width = ids.shape
        length = self._length(rows[0])
        feeds = {name: np.stack([self._rows[row][index] for row in rows]) for index, name in enumerate(self._names)}
        feeds["input_ids"] = ids
        feeds["attention_mask"] = np.ones((count, length + width), np.int64)
        if self._takes_position_ids:
            feeds["position_ids"] = np.tile(np.arange(length, length + width), (count, 1))
        logits, *present = self._session.run(self._outputs, feeds)
        for index, row in enumerate(rows):
            self._rows[row] = [array[index] for array in present]
        return np.asarray(logits[:, -1], np.float32)
