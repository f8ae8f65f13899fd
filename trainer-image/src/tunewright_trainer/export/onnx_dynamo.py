"""ONNX export through `torch.onnx.export(dynamo=True)`, for decoders that the ONNX Runtime GenAI builder does not know.

Promises a graph that takes and returns every layer's keys and values as separate tensors that grow along axis 2. The wrapper
rebuilds the `DynamicCache` that transformers' models expect from those tensors. Quantised weights go into MatMulNBits nodes, as
in the builder's graphs: one operator to serve, one rule to check.
"""

import inspect
from pathlib import Path

import onnx
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.logs import quiet

# Any small, distinct sizes will do: every one of them becomes a symbol, but torch.export takes 0 and 1 for constants.
_BATCH, _PAST, _NEW = 2, 5, 3
_BLOCK = 32
_INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level, as the GenAI builder sets it for the CPU


class _CachedDecoder(torch.nn.Module):
    """A causal model as a function of tensors: (ids, mask, positions, *past) to (logits, *present)."""

    def __init__(self, model: PreTrainedModel, *, takes_position_ids: bool) -> None:
        super().__init__()
        self.model = model
        self.takes_position_ids = takes_position_ids

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        positions = {"position_ids": position_ids} if self.takes_position_ids else {}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, past_key_values=cache, use_cache=True, **positions)
        return (output.logits, *(tensor for layer in output.past_key_values.layers for tensor in (layer.keys, layer.values)))


def build(model: PreTrainedModel, folder: Path, *, precision: Precision) -> None:
    """Write `model.onnx` and `model.onnx.data` of an fp32 model into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    with quiet():
        _trace(model).save(path, external_data=True)
    bits = EXPORT_PRECISIONS[precision].bits
    if bits is not None:
        with quiet():
            quantise(path, bits=bits)


def takes_position_ids(model: PreTrainedModel) -> bool:
    """Return whether the model's forward has the argument: ALiBi models such as BLOOM count positions from the mask."""
    return "position_ids" in inspect.signature(type(model).forward).parameters


def _trace(model: PreTrainedModel) -> torch.onnx.ONNXProgram:
    model.eval()
    ids = torch.ones(_BATCH, _NEW, dtype=torch.long)
    mask = torch.ones(_BATCH, _PAST + _NEW, dtype=torch.long)
    positions = torch.arange(_PAST, _PAST + _NEW).repeat(_BATCH, 1)
    with torch.no_grad():
        warm = model(input_ids=torch.ones(_BATCH, _PAST, dtype=torch.long), use_cache=True).past_key_values
    past = [tensor for layer in warm.layers for tensor in (layer.keys, layer.values)]
    names = [f"{layer}.{side}" for layer in range(len(past) // 2) for side in ("key", "value")]
    dynamic = torch.export.Dim.DYNAMIC
    rows, cache = {0: dynamic, 1: dynamic}, {0: dynamic, 2: dynamic}
    wrapper = _CachedDecoder(model, takes_position_ids=takes_position_ids(model)).eval()
    with torch.no_grad():
        program = torch.onnx.export(
            wrapper,
            (ids, mask, positions, *past),
            dynamo=True,
            verbose=False,
            input_names=["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{name}" for name in names)],
            output_names=["logits", *(f"present.{name}" for name in names)],
            dynamic_shapes=(rows, rows, rows, tuple(cache for _ in past)),
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program")
    return program


def quantise(path: Path, *, bits: int, has_head: bool = True) -> None:
    """Put every weight matrix into a MatMulNBits node by k-quant.

    In 8 bits always: the head, which is the last matrix, and a matrix with an odd number of blocks along its inputs, because ONNX Runtime's
    quantiser packs the zero points of 4-bit blocks in pairs and raises otherwise.

    `path` has its weights in a file of its name with `.data` appended, before and after. `has_head`: the last matrix gives logits.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        KQuantWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )
    from onnxruntime.quantization.onnx_model import ONNXModel

    model = onnx.load(path)
    del model.graph.value_info[:]  # the old shapes contradict the new nodes
    ONNXModel(model).replace_gemm_with_matmul()
    _fold_transposed_weights(model.graph)
    inputs = {tensor.name: tensor.dims[0] for tensor in model.graph.initializer if tensor.dims}
    matmuls = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in inputs]
    for number, node in enumerate(matmuls):
        node.name = node.name or f"weight_{number}"
    widths = {node.name: {"bits": 8 if -(-inputs[node.input[1]] // _BLOCK) % 2 else bits} for node in matmuls}
    if has_head:
        widths[matmuls[-1].name] = {"bits": 8}
    quantiser = MatMulNBitsQuantizer(
        model, block_size=_BLOCK, accuracy_level=_INT8_ACTIVATIONS, algo_config=KQuantWeightOnlyQuantConfig(customized_weight_config=widths)
    )
    quantiser.process()
    data = path.with_name(f"{path.name}.data")
    data.unlink()
    onnx.save_model(quantiser.model.model, path, save_as_external_data=True, location=data.name, size_threshold=1024)


def _fold_transposed_weights(graph: onnx.GraphProto) -> None:
    """Replace Transpose nodes over 2-D weights by transposed copies. A head tied to the embedding is exported as such a node."""
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]:
        weight = weights[node.input[0]]
        if len(weight.dims) == 2:
            graph.initializer.append(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight).T.copy(), node.output[0]))
            graph.node.remove(node)
