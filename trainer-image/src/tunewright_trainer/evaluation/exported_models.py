"""Runs exported models that generate text, without batching, as the reference of the parity check and of the server's tests.

A decoder works for both kinds of graph: without a shared buffer, GroupQueryAttention too takes a past and returns a longer present.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract.folders import DECODER_FILE, ENCODER_FILE, DecoderGraph, SequenceToSequenceGraph

FloatArray = NDArray[np.float32]


class ExportedDecoder:
    """One session over `model.onnx`. Token ids are a plain list; logits are float32 [tokens, vocab]."""

    def __init__(self, path: Path, graph: DecoderGraph, *, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # ONNX Runtime counts the host's cores, not the container's
        options.log_severity_level = 3
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._heads, self._size = graph.kv_heads, graph.head_size
        self._takes_position_ids = graph.takes_position_ids
        self._slots = [f"{layer}.{side}" for layer in range(graph.layers) for side in ("key", "value")]

    def logits(self, ids: list[int]) -> FloatArray:
        """Teacher-forced logits of every position: [len(ids), vocab]."""
        row: FloatArray = self.together([ids])[0]
        return row

    def together(self, rows: list[list[int]]) -> FloatArray:
        """Return the logits of several sequences of one length at once: [len(rows), tokens, vocab]."""
        return self._step(rows, self._no_past(len(rows)), 0)[0]

    def in_chunks(self, ids: list[int], sizes: Sequence[int]) -> FloatArray:
        """Return the same logits, with the sequence read through the cache in chunks of these sizes, which add up to its length."""
        past, seen, found = self._no_past(1), 0, []
        for size in sizes:
            logits, past = self._step([ids[seen : seen + size]], past, seen)
            found.append(logits[0])
            seen += size
        return np.concatenate(found)

    def greedy(self, ids: list[int], *, max_new_tokens: int, stop: frozenset[int]) -> list[int]:
        """The most likely continuation, token by token through the cache. The stop token, if reached, is the last."""
        answer: list[int] = []
        past, seen, new = self._no_past(1), 0, ids
        while len(answer) < max_new_tokens and not (answer and answer[-1] in stop):
            logits, past = self._step([new], past, seen)
            seen += len(new)
            new = [int(logits[0, -1].argmax())]
            answer += new
        return answer

    def _no_past(self, rows: int) -> dict[str, FloatArray]:
        return dict.fromkeys(self._slots, np.zeros((rows, self._heads, 0, self._size), np.float32))

    def _step(self, rows: list[list[int]], past: dict[str, FloatArray], seen: int) -> tuple[FloatArray, dict[str, FloatArray]]:
        total = seen + len(rows[0])
        feeds: dict[str, NDArray[Any]] = {"input_ids": np.array(rows, np.int64), "attention_mask": np.ones((len(rows), total), np.int64)}
        feeds |= {f"past_key_values.{slot}": tensor for slot, tensor in past.items()}
        if self._takes_position_ids:
            feeds["position_ids"] = np.tile(np.arange(seen, total, dtype=np.int64), (len(rows), 1))
        logits, *present = self._session.run(["logits", *(f"present.{slot}" for slot in self._slots)], feeds)
        return logits, dict(zip(self._slots, present, strict=True))


Caches = dict[str, FloatArray]


class ExportedSequenceToSequence:
    """Two sessions over `folder`. Sources and targets are token ids; a target begins with the start token."""

    def __init__(self, folder: Path, graph: SequenceToSequenceGraph, *, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # ONNX Runtime counts the host's cores, not the container's
        options.log_severity_level = 3
        self._encoder, self._decoder = (
            ort.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"]) for name in (ENCODER_FILE, DECODER_FILE)
        )
        self._graph = graph
        self._slots = [f"{layer}.{side}" for layer in range(graph.layers) for side in ("key", "value")]

    def logits(self, source: list[int], target: list[int]) -> FloatArray:
        """Return teacher-forced logits of every position of the target: [len(target), vocab]."""
        return self.in_chunks(source, target, [len(target)])

    def in_chunks(self, source: list[int], target: list[int], sizes: Sequence[int]) -> FloatArray:
        """Return the same, the target read through the cache in chunks of these sizes, which add up to its length."""
        mask, cross = self._encode([source])
        past, seen, found = self._no_past(1), 0, []
        for size in sizes:
            logits, past = self._step([target[seen : seen + size]], mask, cross, past)
            found.append(logits[0])
            seen += size
        return np.concatenate(found)

    def together(self, sources: list[list[int]], targets: list[list[int]], *, pad: int) -> FloatArray:
        """Return the same of several rows at once, sources padded on the right; targets have one length: [rows, tokens, vocab]."""
        mask, cross = self._encode(sources, pad=pad)
        return self._step(targets, mask, cross, self._no_past(len(sources)))[0]

    def greedy(self, source: list[int], *, max_new_tokens: int, stop: frozenset[int]) -> list[int]:
        """Return the most likely target without its start, token by token through the cache. The stop token, if reached, is the last."""
        mask, cross = self._encode([source])
        answer: list[int] = []
        past, new = self._no_past(1), self._graph.decoder_start_token_id
        while len(answer) < max_new_tokens and not (answer and answer[-1] in stop):
            logits, past = self._step([[new]], mask, cross, past)
            new = self._chosen(logits[0, -1], first=not answer)
            answer.append(new)
        return answer

    def _chosen(self, logits: FloatArray, *, first: bool) -> int:
        if first and self._graph.forced_bos_token_id is not None:
            return self._graph.forced_bos_token_id
        logits[self._graph.suppressed_token_ids] = -np.inf
        return int(logits.argmax())

    def _encode(self, sources: list[list[int]], *, pad: int = 0) -> "tuple[np.ndarray, Caches]":
        width = max(len(source) for source in sources)
        ids = np.array([source + [pad] * (width - len(source)) for source in sources], np.int64)
        mask = np.array([[1] * len(source) + [0] * (width - len(source)) for source in sources], np.int64)
        names = [f"cross.{slot}" for slot in self._slots]
        return mask, dict(zip(names, self._encoder.run(names, {"input_ids": ids, "attention_mask": mask}), strict=True))

    def _no_past(self, rows: int) -> Caches:
        return dict.fromkeys(self._slots, np.zeros((rows, self._graph.heads, 0, self._graph.head_size), np.float32))

    def _step(self, new: list[list[int]], mask: "np.ndarray", cross: Caches, past: Caches) -> tuple[FloatArray, Caches]:
        feeds = {"input_ids": np.array(new, np.int64), "encoder_attention_mask": mask, **cross}
        feeds |= {f"past_key_values.{slot}": tensor for slot, tensor in past.items()}
        logits, *present = self._decoder.run(["logits", *(f"present.{slot}" for slot in self._slots)], feeds)
        return logits, dict(zip(self._slots, present, strict=True))
