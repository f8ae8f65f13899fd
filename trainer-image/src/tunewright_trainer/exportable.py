"""Refuses, before an accelerator is taken, architectures whose models were seen to fail in both ONNX exporters.

Reads properties of the configuration rather than names, so that a family's relatives are refused too. Measured with onnxruntime-genai
0.18.0 and torch's exporter on tiny models of each family.
"""

from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.exits import StageError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts")


def require_exportable(config: "PretrainedConfig") -> None:
    """Raise `StageError` (CONFIGURATION, ExportUnsupported) with the property that no exporter takes."""
    obstacle = _experts(config) or _recurrence(config) or _no_positions(config) or _several_rotary_tables(config)
    if obstacle:
        raise StageError(
            ExitCode.CONFIGURATION,
            "ExportUnsupported",
            f"the architecture {config.model_type} cannot be exported to ONNX: {obstacle}",
            "Choose a dense decoder with a key/value cache, such as Llama, Qwen, Gemma 2, Phi or GPT-2.",
        )


def _experts(config: "PretrainedConfig") -> str:
    found = {name: value for name in _EXPERTS if isinstance(value := getattr(config, name, None), int) and value > 1}
    return next((f"it is a mixture of experts ({name}: {value})" for name, value in found.items()), "")


def _recurrence(config: "PretrainedConfig") -> str:
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    model = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    return "its layers keep a recurrent state, for which the model server has no place" if getattr(model, "_is_stateful", False) else ""


def _no_positions(config: "PretrainedConfig") -> str:
    known = getattr(config, "max_position_embeddings", None)
    return "" if isinstance(known, int) else "its config.json has no max_position_embeddings (ALiBi models, such as BLOOM and MPT)"


def _several_rotary_tables(config: "PretrainedConfig") -> str:
    tables = getattr(config, "rope_parameters", None)
    kinds = [name for name, value in tables.items() if isinstance(value, dict)] if isinstance(tables, dict) else []
    return f"its layers have rotary tables of their own kinds (rope_parameters: {', '.join(sorted(kinds))})" if kinds else ""
