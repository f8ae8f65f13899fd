"""ONNX export through the ONNX Runtime GenAI model builder, for the decoder architectures that it supports.

Promises a graph of GroupQueryAttention nodes for the CPU provider, with one full-length cache per layer. It refuses nothing
itself. The builder ignores unknown options and ends without an error on wrong results, so `graph_check` and `parity` check them.
"""

from pathlib import Path
from typing import Literal

from transformers import PretrainedConfig

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS
from tunewright_contract.trainer_config import Precision
from tunewright_trainer.common.logs import quiet

Exporter = Literal["genai", "dynamo"]

# Text decoders of onnxruntime_genai.models.builder.create_model (0.18.0) whose only state is a key/value cache and which need no
# code from the model's repository. Left out: mixtures of experts, for which the CPU provider has no kernel; recurrent layers, for whose
# state the server has no place; and Olmo, whose graph gives other logits from the first token on.
ARCHITECTURES = frozenset(
    {
        "Ernie4_5ForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "GemmaForCausalLM",
        "GraniteForCausalLM",
        "HunYuanDenseV1ForCausalLM",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "NemotronForCausalLM",
        "Phi3ForCausalLM",
        "PhiForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "SmolLM3ForCausalLM",
    }
)

# Of these, the families whose `sliding_window` applies to every layer. The builder reads windows from `layer_types`, which they lack.
_WINDOWED = frozenset({"MistralForCausalLM", "Phi3ForCausalLM"})

# int4: k-quant, with the head and the most sensitive layers in 8 bits; its KL against fp32 is a third of plain rounding's.
# int8: an embedding tied to the head stays in fp32, because the builder's 8-bit quantiser has no Gather.
_QUANTISATION: dict[int | None, list[str]] = {  # by bits of a weight; None: not quantised
    None: [],
    8: ["shared_embeddings=false"],
    4: ["algo_config=k_quant", "matmul_mixed_precision=last_matmul:int8,mixed_layers:int8"],
}
_ALWAYS = ["hf_token=false", "windowed_kv_cache=false"]  # the server keeps whole caches, and would read a ring buffer as one


def exporter_for(config: PretrainedConfig) -> Exporter:
    """Return the exporter for a model of this configuration.

    A Phi-3 whose two lengths differ is a LongRoPE model to the builder; without LongRoPE factors only torch's exporter can take it.
    """
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if architecture not in ARCHITECTURES:
        return "dynamo"
    if architecture == "Phi3ForCausalLM" and not is_long_rope(config):
        original = getattr(config, "original_max_position_embeddings", None)
        return "genai" if original == config.max_position_embeddings else "dynamo"
    return "genai"


def is_long_rope(config: PretrainedConfig) -> bool:
    """Return whether the model has one rotary table for short sequences and another for long ones."""
    parameters = getattr(config, "rope_parameters", None) or {}
    return parameters.get("rope_type") == "longrope"


def window_of(config: PretrainedConfig) -> int | None:
    """Return the window of each layer in tokens, if the builder does not set it; None: it does, or there is no window."""
    architecture = (getattr(config, "architectures", None) or [""])[0]
    window = getattr(config, "sliding_window", None)
    return int(window) if window and architecture in _WINDOWED else None


def build(model_dir: Path, folder: Path, *, precision: Precision, window: int | None = None) -> None:
    """Write `model.onnx`, `model.onnx.data` and `genai_config.json` of the model in `model_dir` into `folder`.

    The builder also writes tokenizer files there. They are re-saved ones, and are not published.
    """
    where = ("", str(model_dir), str(folder), precision, "cpu", str(folder / "cache"))
    with quiet():
        from onnxruntime_genai.models.builder import create_model, parse_extra_options

        options = parse_extra_options(*where, [*_ALWAYS, *_QUANTISATION[EXPORT_PRECISIONS[precision].bits]])
        create_model(*where, **options)
    if window is not None:
        _set_window(folder / "model.onnx", window)


def _set_window(path: Path, window: int) -> None:
    """Limit every attention node to the last `window` tokens."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        if node.op_type == "GroupQueryAttention":
            kept = [attribute for attribute in node.attribute if attribute.name != "local_window_size"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("local_window_size", window)])
    onnx.save(model, path)
