"""The exported graph is checked, not the exporter's exit code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.folders import DecoderGraph
from tunewright_trainer.common.exits import StageError

graph_check = lazily("tunewright_trainer.export.graph_check")
onnx = lazily("onnx")
onnx_dynamo = lazily("tunewright_trainer.export.onnx_dynamo")
onnx_genai = lazily("tunewright_trainer.export.onnx_genai")

ARGUMENTS = {"exporter": "genai", "precision": "fp32", "layers": 2, "vocab_size": 288}


@pytest.fixture(scope="session")
def graphs(bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The phi3 base in every precision."""
    root = tmp_path_factory.mktemp("graphs")
    for precision in ("fp32", "int8", "int4"):
        onnx_genai.build(bases["phi3"], root / precision, precision=precision)
    return {precision: root / precision for precision in ("fp32", "int8", "int4")}


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_a_graph_of_the_builder_is_described_for_the_server(graphs: dict[str, Path], precision: str) -> None:
    found = graph_check.check(graphs[precision], **{**ARGUMENTS, "precision": precision})
    assert found == DecoderGraph(cache="gqa", layers=2, kv_heads=2, head_size=16)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_a_graph_of_torch_is_described_for_the_server(bases: dict[str, Path], tmp_path: Path, precision: str) -> None:
    from transformers import AutoModelForCausalLM

    onnx_dynamo.build(AutoModelForCausalLM.from_pretrained(bases["gpt2"]), tmp_path, precision=precision)
    found = graph_check.check(tmp_path, **{**ARGUMENTS, "exporter": "dynamo", "precision": precision})
    assert found == DecoderGraph(cache="dynamic_cache", layers=2, kv_heads=4, head_size=16, takes_position_ids=True)


@pytest.mark.parametrize(
    ("made", "asked", "named"),
    [
        ("fp32", "int8", "11 weight matrices were left in fp32"),
        ("fp32", "int4", "no weight matrix of 4 bits"),
        ("int8", "fp32", "11 weight matrices of 8 bits"),
        ("int8", "int4", "no weight matrix of 4 bits"),
        ("int4", "int8", "weight matrices of 4 bits"),
    ],
)
def test_another_precision_than_requested_is_named(graphs: dict[str, Path], made: str, asked: str, named: str) -> None:
    with pytest.raises(StageError, match=named) as raised:
        graph_check.check(graphs[made], **{**ARGUMENTS, "precision": asked})
    assert (raised.value.code, raised.value.reason) == (ExitCode.BUG, "GraphUnexpected")


def rename_output(graph: "onnx.GraphProto") -> None:
    graph.output[0].name = "hidden_states"


def drop_attention(graph: "onnx.GraphProto") -> None:
    graph.node.remove(next(node for node in graph.node if node.op_type == "GroupQueryAttention"))


def add_input(graph: "onnx.GraphProto") -> None:
    graph.input.append(onnx.helper.make_tensor_value_info("lora_A", onnx.TensorProto.INT64, [1]))


def halve_cache(graph: "onnx.GraphProto") -> None:
    next(node for node in graph.input if node.name == "past_key_values.1.value").type.tensor_type.elem_type = onnx.TensorProto.FLOAT16


def scatter_weights(graph: "onnx.GraphProto") -> None:
    next(entry for tensor in graph.initializer for entry in tensor.external_data if entry.key == "location").value = "elsewhere.bin"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (rename_output, "output logits is missing; output hidden_states is unknown"),
        (drop_attention, "1 GroupQueryAttention nodes for 2 layers"),
        (add_input, "input lora_A is unknown to the server"),
        (halve_cache, "past_key_values.1.value is of type FLOAT16"),
        (scatter_weights, "unexpected file elsewhere.bin"),
    ],
)
def test_a_graph_the_server_could_not_run_is_refused(
    graphs: dict[str, Path], tmp_path: Path, change: "Callable[[onnx.GraphProto], None]", named: str
) -> None:
    folder = shutil.copytree(graphs["fp32"], tmp_path / "graph")
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    change(model.graph)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(StageError, match=named):
        graph_check.check(folder, **ARGUMENTS)


def test_a_vocabulary_of_another_size_is_refused(graphs: dict[str, Path]) -> None:
    with pytest.raises(StageError, match="logits over 288 tokens, the model has 300"):
        graph_check.check(graphs["fp32"], **{**ARGUMENTS, "vocab_size": 300})


def test_weights_that_are_missing_are_named(graphs: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(graphs["fp32"], tmp_path / "graph")
    (folder / "model.onnx.data").unlink()
    with pytest.raises(StageError, match=r"model\.onnx\.data is missing"):
        graph_check.check(folder, **ARGUMENTS)


def test_a_sliding_window_keeps_a_whole_cache(tmp_path: Path) -> None:
    import tiny

    base = tiny.save_base(tiny.phi3(sliding_window=16), tmp_path / "base")
    onnx_genai.build(base, tmp_path / "graph", precision="fp32")
    graph_check.check(tmp_path / "graph", **ARGUMENTS)
    settings = json.loads((tmp_path / "graph" / "genai_config.json").read_text())["model"]["decoder"]
    assert "sliding_window" not in settings


@pytest.mark.parametrize(
    ("changes", "exporter"),
    [
        ({}, "genai"),
        ({"original_max_position_embeddings": 128}, "dynamo"),
        ({"architectures": ["GPT2LMHeadModel"]}, "dynamo"),
        ({"architectures": None}, "dynamo"),
        ({"original_max_position_embeddings": 128, "rope_parameters": {"rope_type": "longrope"}}, "genai"),
    ],
)
def test_the_exporter_follows_from_the_configuration(changes: dict, exporter: str) -> None:
    from types import SimpleNamespace

    plain = {"architectures": ["Phi3ForCausalLM"], "max_position_embeddings": 256, "original_max_position_embeddings": 256}
    assert onnx_genai.exporter_for(SimpleNamespace(**{**plain, "rope_parameters": {"rope_type": "default"}, **changes})) == exporter
