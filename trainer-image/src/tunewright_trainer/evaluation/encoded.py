"""Texts as rows of token ids, and the numbers that an encoder gives them, in torch and as an exported graph.

A row's numbers are one array, by the head: [labels], [tokens of the row, labels], or [tokens of the row, 2] for start and end.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

from tunewright_contract.encoder_heads import EncoderHead
from tunewright_contract.folders import EncoderGraph
from tunewright_trainer.evaluation.exported_models import FloatArray

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOGETHER = 32  # rows
TYPES = "token_type_ids"


@dataclass(frozen=True)
class EncodedRow:
    """One text, or a pair of texts. `types`: a token type id for each token, where the model takes them; None: type 0."""

    ids: list[int]
    types: list[int] | None = None


def takes_types(model: "PreTrainedModel") -> bool:
    """Whether the model tells the texts of a pair apart by types: GPT-2 has such an input for another use, and RoBERTa has one type."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # without its adapter
    return TYPES in inspect.signature(type(base).forward).parameters and getattr(base.config, "type_vocab_size", None) not in {None, 0, 1}


def run_model(model: "PreTrainedModel", head: EncoderHead, rows: Sequence[EncodedRow], *, pad: int) -> list[FloatArray]:
    """Return the numbers of an fp32 model in evaluation mode. Rows are padded on the right."""
    import torch

    typed = takes_types(model)
    found: list[FloatArray] = []
    for start in range(0, len(rows), _TOGETHER):
        batch = rows[start : start + _TOGETHER]
        width = max(len(row.ids) for row in batch)
        inputs = {
            "input_ids": [row.ids + [pad] * (width - len(row.ids)) for row in batch],
            "attention_mask": [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in batch],
        }
        if typed and any(row.types for row in batch):
            inputs[TYPES] = [(row.types or [0] * len(row.ids)) + [0] * (width - len(row.ids)) for row in batch]
        with torch.no_grad():
            outputs = model(**{name: torch.tensor(value) for name, value in inputs.items()})
        arrays = _together([outputs[name].float().numpy() for name in head.outputs])
        found += [array[: len(row.ids)] if head.per_token else array for array, row in zip(arrays, batch, strict=True)]
    return found


class ExportedEncoder:
    """One session over `model.onnx`, each row run alone."""

    def __init__(self, path: Path, graph: EncoderGraph, *, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads  # ONNX Runtime counts the host's cores, not the container's
        options.log_severity_level = 3
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._types = graph.takes_token_type_ids
        self._outputs = list(graph.head.outputs)

    def run(self, rows: Sequence[EncodedRow]) -> list[FloatArray]:
        """Return the numbers of each row."""
        return [self._run(row) for row in rows]

    def _run(self, row: EncodedRow) -> FloatArray:
        ids = np.array([row.ids], np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        if self._types:
            feeds[TYPES] = np.zeros_like(ids) if row.types is None else np.array([row.types], np.int64)
        output: FloatArray = _together(self._session.run(self._outputs, feeds))[0]
        return output


def _together(arrays: Sequence[FloatArray]) -> FloatArray:
    """The outputs of a graph side by side, as one more axis at the end."""
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, -1)
