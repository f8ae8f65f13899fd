"""`tunewright.json`: what lies in a model folder, how to run it, and where it comes from.

The exporter writes it last; a folder without it is not a model. The server reads it and nothing of the trainer.

A model folder for a decoder holds: model.onnx (and model.onnx.data), genai_config.json where the ONNX Runtime GenAI builder made it,
tokenizer.json, tokenizer_config.json, chat_template.jinja when there is one, generation_config.json, evaluation.json, tunewright.json.
"""

from typing import Any, Literal

from pydantic import Field

from tunewright_contract.base import Message
from tunewright_contract.reports import EvaluationReport, ParityReport
from tunewright_contract.trainer_config import Precision, Task

MANIFEST_NAME = "tunewright.json"
EVALUATION_NAME = "evaluation.json"


class ModelFile(Message):
    path: str
    bytes: int
    sha256: str


class DecoderGraph(Message):
    """How to drive the graph.

    `gqa`: GroupQueryAttention of the ONNX Runtime GenAI builder: inputs `input_ids` [n, s], `attention_mask` [n, T] (right-padded),
    `past_key_values.{i}.key|value` [n, kv_heads, capacity, head_size] shared with `present.{i}.key|value`.
    `dynamic_cache`: exported by torch: inputs also `position_ids` [n, s]; past and present are separate and grow by s
    along axis 2; padding is on the left of the past.
    """

    kind: Literal["gqa", "dynamic_cache"]
    layers: int
    kv_heads: int
    head_size: int
    kv_dtype: Literal["float32", "float16"] = "float32"
    takes_position_ids: bool = False


class Lineage(Message):
    """Enough to make the model again, and to say whose it is."""

    namespace: str
    job: str
    uid: str
    revision: str
    base: str  # repo@revision, or the sha256 of the folder's weights
    data_sha256: str
    method: dict[str, Any]
    metrics: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)


class ModelManifest(Message):
    api_version: Literal["tunewright.io/model/v1"] = "tunewright.io/model/v1"
    name: str
    revision: str
    task: Task
    architecture: str
    precision: Precision
    graph: DecoderGraph
    context_length: int  # tokens
    vocab_size: int
    bos_token_id: int | None = None
    eos_token_ids: list[int]
    pad_token_id: int | None = None
    long_rope_switch: int | None = None  # original_max_position_embeddings when the model has two rotary tables
    files: list[ModelFile]
    lineage: Lineage
    parity: ParityReport
    evaluation: EvaluationReport | None = None
