"""Checks the exported graph, because the exporters end without an error if they ignored an option.

Promises for a valid graph: the inputs and outputs that the server binds, one attention node per layer, every weight matrix in the requested
precision, the model's vocabulary, and all weights in the one file beside it.
A sequence-to-sequence model has two such graphs.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import onnx

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import DECODER_FILE, ENCODER_FILE, DecoderGraph, EncoderGraph
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.export.onnx_genai import Exporter

GRAPH_FILE, DATA_FILE = "model.onnx", "model.onnx.data"
_CACHE = {"genai": "gqa", "dynamo": "dynamic_cache"}


def check(folder: Path, *, exporter: Exporter, precision: Precision, layers: int, vocab_size: int) -> DecoderGraph:
    """Describe the graph in `folder` for the manifest, or raise `StageError` (BUG, GraphUnexpected) naming every deviation."""
    model = onnx.load(folder / GRAPH_FILE, load_external_data=False)
    inputs = {node.name: node for node in model.graph.input}
    findings = [
        *_names(inputs, {node.name for node in model.graph.output}, layers=layers),
        *_attention(model.graph, exporter=exporter, layers=layers),
        *_weights(model.graph, precision=precision),
        *_vocabulary(model.graph, vocab_size=vocab_size),
        *_files(model.graph, folder),
    ]
    if findings:
        raise _unexpected(exporter, precision, findings)
    heads, _, size = list(inputs["past_key_values.0.key"].type.tensor_type.shape.dim)[1:]
    return DecoderGraph(
        cache=_CACHE[exporter],
        layers=layers,
        kv_heads=heads.dim_value,
        head_size=size.dim_value or _decoder_settings(folder)["head_size"],
        takes_position_ids="position_ids" in inputs,
    )


def check_encoder(folder: Path, graph: EncoderGraph, *, precision: Precision) -> None:
    """Compare the graph in `folder` with its description. Raises `StageError` (BUG, GraphUnexpected) naming every deviation."""
    model = onnx.load(folder / GRAPH_FILE, load_external_data=False)
    wanted = {"input_ids", "attention_mask", *(["token_type_ids"] if graph.takes_token_type_ids else [])}
    inputs = {node.name: [size.dim_value for size in node.type.tensor_type.shape.dim] for node in model.graph.input}
    findings = [f"input {name} is missing or unknown to the server" for name in sorted(wanted ^ inputs.keys())]
    findings += [f"input {name} has the fixed shape {shape}" for name, shape in inputs.items() if any(shape)]
    outputs = [node.name for node in model.graph.output]
    if outputs != list(graph.head.outputs):
        findings.append(f"its outputs are {', '.join(outputs)}, and not {' and '.join(graph.head.outputs)}")
    findings += [*_weights(model.graph, precision=precision), *_files(model.graph, folder)]
    if findings:
        raise _unexpected("dynamo", precision, findings)


def check_sequence_to_sequence(folder: Path, *, precision: Precision, vocab_size: int) -> tuple[int, int, int]:
    """Return the decoder's layers, heads and head size. Raises `StageError` (BUG, GraphUnexpected) naming every deviation."""
    files = (ENCODER_FILE, DECODER_FILE)
    encoder, decoder = (onnx.load(folder / name, load_external_data=False).graph for name in files)
    crossed = {node.name: node for node in encoder.output}
    layers = len(crossed) // 2
    slots = [f"{layer}.{side}" for layer in range(layers) for side in ("key", "value")]
    cross, past = ({f"{name}.{slot}" for slot in slots} for name in ("cross", "past_key_values"))
    findings = [
        *_same_names("input", {node.name for node in encoder.input}, {"input_ids", "attention_mask"}),
        *_same_names("output", set(crossed), cross),
        *_same_names("input", {node.name for node in decoder.input}, {"input_ids", "encoder_attention_mask", *cross, *past}),
        *_same_names("output", {node.name for node in decoder.output}, {"logits", *(f"present.{slot}" for slot in slots)}),
        *_fixed(encoder, {"input_ids": (0, 1), "attention_mask": (0, 1)}),
        *_fixed(decoder, {"input_ids": (0, 1), "encoder_attention_mask": (0, 1), **dict.fromkeys(cross | past, (0, 2))}),
        *_vocabulary(decoder, vocab_size=vocab_size),
        *(finding for graph in (encoder, decoder) for finding in _weights(graph, precision=precision)),
        *(finding for graph, file in zip((encoder, decoder), files, strict=True) for finding in _files(graph, folder, file, kept=files)),
    ]
    if findings:
        raise _unexpected("dynamo", precision, findings)
    _, heads, _, size = crossed["cross.0.key"].type.tensor_type.shape.dim
    return layers, heads.dim_value, size.dim_value


def _same_names(what: str, found: set[str], wanted: set[str]) -> list[str]:
    return [f"{what} {name} is missing" for name in sorted(wanted - found)] + [
        f"{what} {name} is unknown to the server" for name in sorted(found - wanted)
    ]


def _fixed(graph: onnx.GraphProto, dynamic: dict[str, tuple[int, ...]]) -> list[str]:
    """Axes that have a size of their own although the server varies them."""
    shapes = {node.name: node.type.tensor_type.shape.dim for node in graph.input}
    return [
        f"input {name} has the fixed size {shapes[name][axis].dim_value} along axis {axis}"
        for name in sorted(dynamic.keys() & shapes.keys())
        for axis in dynamic[name]
        if shapes[name][axis].dim_value
    ]


def _unexpected(exporter: Exporter, precision: Precision, findings: list[str]) -> StageError:
    return StageError(
        ExitCode.BUG,
        "GraphUnexpected",
        f"the {exporter} exporter produced a {precision} graph that differs from the requested one: {'; '.join(findings)}",
        "Report this with the model's config.json; meanwhile try output.onnx.precision fp32, the simplest graph.",
    )


def _decoder_settings(folder: Path) -> dict[str, Any]:
    """The GenAI builder leaves the head size symbolic in the graph, and writes it here."""
    decoder: dict[str, Any] = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]["decoder"]
    return decoder


def _names(inputs: dict[str, onnx.ValueInfoProto], outputs: set[str], *, layers: int) -> list[str]:
    slots = [f"{layer}.{side}" for layer in range(layers) for side in ("key", "value")]
    required = {"input_ids", "attention_mask", *(f"past_key_values.{slot}" for slot in slots)}
    optional = {"position_ids"}  # ALiBi models have no use for it, and most GroupQueryAttention graphs count for themselves
    produced = {"logits", *(f"present.{slot}" for slot in slots)}
    findings = [f"input {name} is missing" for name in sorted(required - set(inputs))]
    findings += [f"input {name} is unknown to the server" for name in sorted(set(inputs) - required - optional)]
    findings += [f"output {name} is missing" for name in sorted(produced - outputs)]
    findings += [f"output {name} is unknown to the server" for name in sorted(outputs - produced)]
    for name, node in inputs.items():
        expected = onnx.TensorProto.FLOAT if name.startswith("past_") else onnx.TensorProto.INT64
        if node.type.tensor_type.elem_type != expected:
            findings.append(f"input {name} is of type {onnx.TensorProto.DataType.Name(node.type.tensor_type.elem_type)}")
    return findings


def _attention(graph: onnx.GraphProto, *, exporter: Exporter, layers: int) -> list[str]:
    if exporter == "dynamo":
        return []  # attention is spelled out in plain operators there
    count = Counter(node.op_type for node in graph.node)["GroupQueryAttention"]
    return [] if count == layers else [f"{count} GroupQueryAttention nodes for {layers} layers"]


def _weights(graph: onnx.GraphProto, *, precision: Precision) -> list[str]:
    """Every product with a constant matrix must be in the asked precision."""
    asked = EXPORT_PRECISIONS[precision]
    constants = {tensor.name for tensor in graph.initializer}
    plain = [node.name for node in graph.node if node.op_type in {"MatMul", "Gemm"} and len(node.input) > 1 and node.input[1] in constants]
    widths = Counter(_bits(node) for node in graph.node if node.op_type == "MatMulNBits")
    findings = []
    if asked.bits is not None and plain:
        findings.append(f"{len(plain)} weight matrices were left in fp32, the first is {plain[0]}")
    findings += [f"{count} weight matrices of {bits} bits" for bits, count in sorted(widths.items()) if bits not in asked.widths]
    if asked.bits is not None and not widths[asked.bits]:
        findings.append(f"no weight matrix of {asked.bits} bits")
    if asked.bits is None and not plain:
        findings.append(f"no weight matrix in {asked.name}")
    return findings


def _bits(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "bits"), 4)  # 4 is the operator's default


def _vocabulary(graph: onnx.GraphProto, *, vocab_size: int) -> list[str]:
    for node in graph.output:
        if node.name == "logits":
            columns = node.type.tensor_type.shape.dim[-1].dim_value
            return [] if columns == vocab_size else [f"logits over {columns} tokens, the model has {vocab_size}"]
    return []


def _files(graph: onnx.GraphProto, folder: Path, file: str = GRAPH_FILE, *, kept: tuple[str, ...] = (GRAPH_FILE,)) -> list[str]:
    """`file` is the graph's, `kept` those of all graphs in the folder. Each may have its weights in a file of its name with `.data`."""
    data = f"{file}.data"
    named = {entry.value for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location"}
    findings = [f"weights in unexpected file {name}" for name in sorted(named - {data})]
    if data in named and not (folder / data).is_file():
        findings.append(f"{data} is missing")
    strays = {path.name for path in folder.glob("*.onnx*")} - {name for graph_file in kept for name in (graph_file, f"{graph_file}.data")}
    return findings + [f"unexpected file {name}" for name in sorted(strays)]
