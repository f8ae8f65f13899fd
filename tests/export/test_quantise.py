"""Which weight matrices an export in 4 bits leaves in 8."""

from pathlib import Path

import numpy as np
import pytest
from lazily import lazily

onnx = lazily("onnx")
onnx_dynamo = lazily("tunewright_trainer.export.onnx_dynamo")


@pytest.mark.parametrize(
    ("inputs", "bits"),
    [(32, 8), (64, 4), (96, 8), (128, 4), (40, 4), (70, 8)],
    ids=["one block", "two blocks", "three blocks", "four blocks", "a block and a part", "two blocks and a part"],
)
def test_a_matrix_with_an_odd_number_of_blocks_keeps_8_bits(tmp_path: Path, inputs: int, bits: int) -> None:
    path = tmp_path / "model.onnx"
    weight = onnx.numpy_helper.from_array(np.random.default_rng(0).normal(size=(inputs, 48)).astype(np.float32), "weight")
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", size]) for name, size in (("x", inputs), ("y", 48))]
    graph = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "weight"], ["y"])], "one", tensors[:1], tensors[1:], [weight])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    onnx.save_model(model, path, save_as_external_data=True, location="model.onnx.data", size_threshold=1024)

    onnx_dynamo.quantise(path, bits=4, has_head=False)

    (node,) = [node for node in onnx.load(path).graph.node if node.op_type == "MatMulNBits"]
    assert next(each.i for each in node.attribute if each.name == "bits") == bits
