"""Refuses architectures that cannot be trained with the job's settings or exported to ONNX, before the job takes an accelerator.

It reads properties of the configuration, not names, so that variants of a family are refused too, and gives the cause in one sentence.
`dry_run` tests all other architectures. Measured with onnxruntime-genai 0.18.0 and torch's exporter on tiny models.
"""

from typing import TYPE_CHECKING, Any

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

ANOTHER_BASE = "Choose another base: a dense decoder with a key/value cache, such as Llama, Qwen, Gemma 2, Phi or GPT-2."
# model.attnImplementation -> the attribute of transformers' model classes that shows whether it is supported.
_ATTENTION = {
    "sdpa": "_supports_sdpa",
    "flash_attention_2": "_supports_flash_attn",
    "flash_attention_3": "_supports_flash_attn",
    "flex_attention": "_supports_flex_attn",
}
_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def require_exportable(config: "PretrainedConfig", auto_class: Any) -> None:
    """Raise `StageError` (CONFIGURATION, ExportUnsupported) with the property that no exporter supports. `auto_class` is the task's."""
    obstacle = (
        _experts(config)
        or _recurrence(config, auto_class)
        or _several_parts(config)
        or _no_positions(config)
        or _several_rotary_tables(config)
    )
    if obstacle:
        raise export_unsupported(f"the architecture {config.model_type} cannot be exported to ONNX: {obstacle}")


def require_encoder_decoder(config: "PretrainedConfig") -> None:
    """As `require_exportable`, for an encoder-decoder. Its positions may be relative, and so without a bound."""
    obstacle = _experts(config) or _several_parts(config)
    if obstacle:
        raise export_unsupported(
            f"the architecture {config.model_type} cannot be exported to ONNX: {obstacle}",
            "Choose another base: an encoder-decoder such as T5, BART, Marian, mT5, PEGASUS or M2M100.",
        )


def export_unsupported(message: str, suggestion: str = ANOTHER_BASE) -> StageError:
    """Return the refusal of a model on which Export would fail."""
    return StageError(ExitCode.CONFIGURATION, "ExportUnsupported", message, suggestion)


def require_attention(config: "PretrainedConfig", attention: str | None, auto_class: Any) -> None:
    """Raise `StageError` (CONFIGURATION, AttentionUnsupported) if the architecture lacks this attention, because loading it would fail."""
    model = _model_class(config, auto_class)
    if model is not None and attention in _ATTENTION and not getattr(model, _ATTENTION[attention], False):
        raise StageError(
            ExitCode.CONFIGURATION,
            "AttentionUnsupported",
            f"model.attnImplementation {attention}: transformers has no such attention for the architecture {config.model_type}",
            "Set model.attnImplementation: eager.",
        )


def _model_class(config: "PretrainedConfig", auto_class: Any) -> "type[PreTrainedModel] | None":
    found: type[PreTrainedModel] | None = auto_class._model_mapping.get(type(config), None)  # noqa: SLF001 - there is no other way to ask
    return found


def _several_parts(config: "PretrainedConfig") -> str:
    sizes = ("hidden_size", "num_attention_heads", "num_hidden_layers")
    missing = [name for name in sizes if not isinstance(getattr(config, name, None), int)]
    return f"its config.json has no {missing[0]} of its own (models of several parts, such as text with images)" if missing else ""


def _experts(config: "PretrainedConfig") -> str:
    found = {name: value for name in _EXPERTS if isinstance(value := getattr(config, name, None), int) and value > 1}
    return next((f"it is a mixture of experts ({name}: {value})" for name, value in found.items()), "")


def _recurrence(config: "PretrainedConfig", auto_class: Any) -> str:
    stateful = getattr(_model_class(config, auto_class), "_is_stateful", False)
    return "its layers keep a recurrent state, which the model server does not support" if stateful else ""


def _no_positions(config: "PretrainedConfig") -> str:
    known = getattr(config, "max_position_embeddings", None)
    return "" if isinstance(known, int) else "its config.json has no max_position_embeddings (ALiBi models, such as BLOOM and MPT)"


def _several_rotary_tables(config: "PretrainedConfig") -> str:
    tables = getattr(config, "rope_parameters", None)
    kinds = [name for name, value in tables.items() if isinstance(value, dict)] if isinstance(tables, dict) else []
    return f"its layer types have different rotary tables (rope_parameters: {', '.join(sorted(kinds))})" if kinds else ""
