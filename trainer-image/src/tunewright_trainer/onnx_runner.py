"""Runs an exported decoder the plain way, one sequence at a time, as the yardstick of parity.

Works for both graph kinds: without a shared buffer, GroupQueryAttention too takes a past and returns a longer present.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from tunewright_contract.model_manifest import DecoderGraph

FloatArray = NDArray[np.float32]


class ExportedDecoder:
    """One session over `model.onnx`. Token ids are a plain list; logits are float32 [tokens, vocab]."""

    def __init__(self, path: Path, graph: DecoderGraph, *, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # ONNX Runtime counts the host's cores, not the container's
        options.log_severity_level = 3
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        empty = np.zeros((1, graph.kv_heads, 0, graph.head_size), np.float32)
        self._takes_position_ids = graph.takes_position_ids
        self._slots = [f"{layer}.{side}" for layer in range(graph.layers) for side in ("key", "value")]
        self._empty = dict.fromkeys(self._slots, empty)

    def logits(self, ids: list[int]) -> FloatArray:
        """Teacher-forced logits of every position: [len(ids), vocab]."""
        return self._step(ids, self._empty, 0)[0]

    def greedy(self, ids: list[int], *, max_new_tokens: int, stop: frozenset[int]) -> list[int]:
        """The most likely continuation, token by token through the cache. The stop token, if reached, is the last."""
        answer: list[int] = []
        past, seen, new = self._empty, 0, ids
        while len(answer) < max_new_tokens and not (answer and answer[-1] in stop):
            logits, past = self._step(new, past, seen)
            seen += len(new)
            new = [int(logits[-1].argmax())]
            answer += new
        return answer

    def _step(self, ids: list[int], past: dict[str, FloatArray], seen: int) -> tuple[FloatArray, dict[str, FloatArray]]:
        total = seen + len(ids)
        feeds = {"input_ids": np.array([ids], np.int64), "attention_mask": np.ones((1, total), np.int64)}
        feeds |= {f"past_key_values.{slot}": tensor for slot, tensor in past.items()}
        if self._takes_position_ids:
            feeds["position_ids"] = np.arange(seen, total, dtype=np.int64)[None]
        logits, *present = self._session.run(["logits", *(f"present.{slot}" for slot in self._slots)], feeds)
        return logits[0], dict(zip(self._slots, present, strict=True))
