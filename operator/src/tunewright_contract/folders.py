"""The manifests of a job's folders: content, use and origin of a model folder, and the owner of a folder for work.

`tunewright.json` describes a model folder. `tunewright-run.json` names the owner of a folder with checkpoints or an unfinished model, and
the entries that this job created. The trainer writes it before any other file. `tunewright delete` removes only the files that a manifest
with the job's uid lists.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from tunewright_contract.base import Message
from tunewright_contract.capabilities.tasks import TASKS, TaskName
from tunewright_contract.encoder_heads import Head
from tunewright_contract.reports import EvaluationReport, ParityReport
from tunewright_contract.text import one_line
from tunewright_contract.trainer_config import Precision

RUN_MANIFEST_NAME = "tunewright-run.json"


class RunFolder(Message):
    """`entries` are patterns (`fnmatch`) of paths relative to the folder, such as `checkpoints/checkpoint-*`.

    Of a folder with a MANIFEST.json, only the files that are listed there belong to the job; any other folder belongs to it as a whole.
    """

    api_version: Literal["tunewright.io/run/v1"] = "tunewright.io/run/v1"
    namespace: str
    job: str
    uid: str
    revision: str
    entries: list[str]


MANIFEST_NAME = "tunewright.json"
EVALUATION_NAME = "evaluation.json"
GRAPH_FILE = "model.onnx"  # of other models
ENCODER_FILE, DECODER_FILE = "encoder.onnx", "decoder.onnx"  # of a sequence-to-sequence model
API_VERSION: Final = "tunewright.io/model/v2"
UNKNOWN_VERSION: Final = "unknown_version"  # type of the validation error
_VERSION_1 = "tunewright.io/model/v1"


class ModelFile(Message):
    path: str
    bytes: int
    sha256: str


class DecoderGraph(Message):
    """A graph that continues a text token by token over a cache of keys and values.

    `gqa`: GroupQueryAttention of the ONNX Runtime GenAI builder: inputs `input_ids` [n, s], `attention_mask` [n, T] (right-padded),
    `past_key_values.{i}.key|value` [n, kv_heads, capacity, head_size] shared with `present.{i}.key|value`.
    `dynamic_cache`: exported by torch: inputs also `position_ids` [n, s]; past and present are separate and grow by s
    along axis 2; padding is on the left of the past.
    """

    files: ClassVar[tuple[str, ...]] = (GRAPH_FILE,)

    kind: Literal["decoder"] = "decoder"
    cache: Literal["gqa", "dynamic_cache"]
    layers: int
    kv_heads: int
    head_size: int
    kv_dtype: Literal["float32", "float16"] = "float32"
    takes_position_ids: bool = False


class EncoderGraph(Message):
    """A graph that reads a whole text, or a pair of texts, in one run.

    Inputs: `input_ids` and `attention_mask` [n, s], int64, and `token_type_ids` [n, s] where it takes them. Rows are padded on the right
    with the manifest's `pad_token_id` (0 without one), mask 0 and type 0. n and s are dynamic. The head decides about the outputs.
    """

    files: ClassVar[tuple[str, ...]] = (GRAPH_FILE,)

    kind: Literal["encoder"] = "encoder"
    head: Head
    takes_token_type_ids: bool = False


class SequenceToSequenceGraph(Message):
    """Two graphs: `encoder.onnx` reads the source once, `decoder.onnx` continues the target over a cache of keys and values.

    n rows, s source tokens, t new target tokens, p earlier ones; all four are dynamic, p may be 0. Sources are padded on the right with
    the manifest's `pad_token_id` and mask 0. Targets are not padded: rows of one run have the same p and t.
    `encoder.onnx`: inputs `input_ids`, `attention_mask` [n, s], int64. Outputs `cross.{i}.key|value` [n, heads, s, head_size] of each
    decoder layer.
    `decoder.onnx`: inputs `input_ids` [n, t], `encoder_attention_mask` [n, s], int64, `cross.{i}.key|value` and
    `past_key_values.{i}.key|value` [n, heads, p, head_size]. Outputs `logits` [n, t, vocab], float32, and `present.{i}.key|value`
    [n, heads, p + t, head_size].
    Each keeps its weights in a file of its name with `.data` appended.
    """

    files: ClassVar[tuple[str, ...]] = (ENCODER_FILE, DECODER_FILE)

    kind: Literal["sequence_to_sequence"] = "sequence_to_sequence"
    layers: int  # of the decoder
    heads: int  # of the decoder
    head_size: int
    kv_dtype: Literal["float32"] = "float32"
    decoder_start_token_id: int  # the first target token, which the model does not generate
    forced_bos_token_id: int | None = None  # the first token of each answer, whatever the logits are, such as a language
    suppressed_token_ids: list[int] = Field(default_factory=list)  # never generated: transformers' suppress_tokens and bad_words_ids
    max_target_length: int | None = None  # tokens with the start, where positions bound them; None: unbounded, as in T5


Graph = Annotated[DecoderGraph | EncoderGraph | SequenceToSequenceGraph, Field(discriminator="kind")]
"""How to run the model. `kind` selects the server's engine and routes."""


class Lineage(Message):
    """The inputs from which the model can be made again, and its job."""

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
    api_version: Literal["tunewright.io/model/v2"] = API_VERSION
    name: str
    revision: str
    task: TaskName
    architecture: str
    precision: Precision
    graph: Graph
    context_length: int  # tokens
    vocab_size: int
    bos_token_id: int | None = None
    eos_token_ids: list[int]  # empty for an encoder
    pad_token_id: int | None = None
    long_rope_switch: int | None = None  # original_max_position_embeddings if the model has two rotary tables
    files: list[ModelFile]
    lineage: Lineage
    parity: ParityReport
    evaluation: EvaluationReport | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_version(cls, found: Any) -> Any:
        """Turn version 1 into version 2, and refuse other versions by name."""
        version = found.get("apiVersion", API_VERSION) if isinstance(found, dict) else API_VERSION
        if version == _VERSION_1:
            return {**found, "apiVersion": API_VERSION, "graph": _decoder_of_version_1(found.get("graph"))}
        if version != API_VERSION:
            raise PydanticCustomError(
                UNKNOWN_VERSION,
                "apiVersion {found}: this release reads {known}",
                {"found": one_line(repr(version), 60), "known": f"{_VERSION_1} and {API_VERSION}"},
            )
        return found

    @model_validator(mode="after")
    def _graph_is_that_of_the_task(self) -> Self:
        wanted = TASKS[self.task].graph
        if self.graph.kind != wanted:
            raise ValueError(f"graph.kind: {self.graph.kind} does not fit task {self.task}, whose models are of kind {wanted}")
        head = TASKS[self.task].head
        if isinstance(self.graph, EncoderGraph) and self.graph.head.kind != head:
            raise ValueError(f"graph.head.kind: {self.graph.head.kind} does not fit task {self.task}, whose models have a head for {head}")
        return self


def _decoder_of_version_1(graph: Any) -> Any:
    if not isinstance(graph, dict):
        return graph
    renamed = {"cache" if name == "kind" else name: value for name, value in graph.items()}
    return {"kind": "decoder", **renamed}
