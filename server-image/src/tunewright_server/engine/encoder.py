"""A graph that reads whole texts: how wide a row is run, which rows may share a run, and the run itself.

A row's numbers must not depend on the rows beside it. Two facts decide how that is kept; both are measured when the graph is loaded, since
they depend on graph, quantization and processor:
- whether rows of one length have the same numbers, to the last bit, together and alone. Dynamic quantization takes one scale for the whole
  tensor of activations, so there they have not, and each row is run alone;
- whether padding changes no bit either. If so, a row is padded to a width that depends on its own length only, and shares a run with other
  rows of that width. If not, only rows of one length share a run.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime as ort

from tunewright_contract.encoder_heads import EncoderHead
from tunewright_contract.folders import EncoderGraph
from tunewright_server.engine.graph_names import check_inputs, check_outputs, mismatch
from tunewright_server.engine.row_queue import Logits, TokenRow

_TRIED_LENGTHS = (2, 5, 13, 40)
_TRIED_ROWS = 5
_STEPS = 8  # widths between one power of two and the next: at most an eighth of a run is padding, from 64 tokens on


class Encoder:
    """Runs rows of token ids. Not thread-safe."""

    def __init__(self, session: ort.InferenceSession, graph: EncoderGraph, *, max_length: int, vocab_size: int, pad_token_id: int) -> None:
        """`max_length` and `vocab_size` in tokens. Raises `RefusalError` (65) when the graph is not the manifest's."""
        check_graph(session, graph)
        self.max_length = max_length
        self._session = session
        self._takes_types = graph.takes_token_type_ids
        self._outputs = list(graph.head.outputs)
        self._per_token = graph.head.per_token
        self._pad = pad_token_id
        tried = self._tried_rows(vocab_size)
        alone = [[self.run([row], len(row))[0] for row in rows] for rows in tried]
        self.shares_runs = all(
            _equal(self.run(rows[:count], len(rows[0])), single[:count])
            for rows, single in zip(tried, alone, strict=True)
            for count in (2, _TRIED_ROWS)
        )
        self.pads = self.shares_runs and all(
            _equal(self.run(rows, self._padded(len(rows[0]) + 1)), single) for rows, single in zip(tried, alone, strict=True)
        )

    def width(self, length: int) -> int:
        """How wide a row of so many tokens is run."""
        return self._padded(length) if self.pads else length

    def run(self, rows: Sequence[TokenRow], width: int) -> list[Logits]:
        """Return the numbers of each row, which has at most `width` tokens. Those of padding are left out."""
        ids = np.full((len(rows), width), self._pad, np.int64)
        mask = np.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = row.tokens
            mask[index, : len(row)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask}
        if self._takes_types:
            feeds["token_type_ids"] = types = np.zeros_like(ids)
            for index, row in enumerate(rows):
                types[index, : len(row)] = row.types or 0
        arrays = [np.asarray(array, np.float32) for array in self._session.run(self._outputs, feeds)]
        found = arrays[0] if len(arrays) == 1 else np.stack(arrays, -1)
        return [array[: len(row)] if self._per_token else array for array, row in zip(found, rows, strict=True)]

    def _padded(self, length: int) -> int:
        step = max(_STEPS, (1 << (length.bit_length() - 1)) // _STEPS)
        return min(self.max_length, -(-length // step) * step)

    def _tried_rows(self, vocab_size: int) -> list[list[TokenRow]]:
        """Rows of several lengths, without the padding token."""
        random = np.random.default_rng(0)
        usable = [token for token in range(min(vocab_size, 4096)) if token != self._pad] or [0]
        return [
            [TokenRow(tuple(random.choice(usable, length).tolist())) for _ in range(_TRIED_ROWS)]
            for length in sorted({min(each, self.max_length) for each in _TRIED_LENGTHS})
        ]


def _equal(some: Sequence[Logits], others: Sequence[Logits]) -> bool:
    """Whether two lists of arrays are equal to the last bit."""
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def check_graph(session: ort.InferenceSession, graph: EncoderGraph) -> None:
    """Compare inputs and outputs with the manifest. Raises `RefusalError` (65) naming the first difference."""
    found = {node.name: node.shape for node in session.get_inputs()}
    expected = {"input_ids", "attention_mask", *(["token_type_ids"] if graph.takes_token_type_ids else [])}
    check_inputs(found, expected)
    for name, shape in found.items():
        if len(shape) != 2 or any(isinstance(size, int) for size in shape):
            raise mismatch(f"has the shape {shape} in {name}; rows and tokens must both be dynamic")
    _check_outputs({node.name: node.shape for node in session.get_outputs()}, graph.head)


def _check_outputs(found: dict[str, list[str | int]], head: EncoderHead) -> None:
    check_outputs(found, head.outputs)
    for name, wanted in head.outputs.items():
        shape = found[name]
        sizes = [(size, expected) for size, expected in zip(shape, wanted, strict=False) if isinstance(size, int)]
        if len(shape) != len(wanted) or any(size != expected for size, expected in sizes):
            raise mismatch(f"has the shape {shape} in {name}; the manifest's head {head.kind} has {list(wanted)}")
