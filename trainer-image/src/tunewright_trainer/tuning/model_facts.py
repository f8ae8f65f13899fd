"""Counts the parameters of the base model and the trained ones on torch's meta device: shapes only, no weights, seconds for any size.

Promises the numbers that the plan's memory formula needs. Refuses a `targetModules` entry that matches no module (E107). PEFT accepts it if
another entry matches.
"""

from collections import Counter
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import ModelFacts
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.arguments import lora_config

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PretrainedConfig, PreTrainedModel


def model_facts(config: "PretrainedConfig", settings: Settings) -> ModelFacts:
    """Count. Raises `StageError` (CONFIGURATION) for target modules that do not exist, listing those that do."""
    model = _on_meta(config, settings)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    linear = _linear_layers(model)
    head = model.get_output_embeddings()
    facts = {
        "architecture": config.model_type,
        "parameters": parameters,
        "linear_parameters": sum(layer.weight.numel() for layer in linear.values() if layer is not head),
        "largest_layer_parameters": max(sum(p.numel() for p in module.parameters(recurse=False)) for module in model.modules()),
        "hidden_size": config.hidden_size,
        "layers": config.num_hidden_layers,
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
    }
    adapter = lora_config(settings)
    if adapter is None:
        return ModelFacts(**facts, trainable_parameters=parameters)
    adapted, trainable = _adapt(model, adapter, linear)
    return ModelFacts(**facts, trainable_parameters=trainable, target_modules=adapted)


def _on_meta(config: "PretrainedConfig", settings: Settings) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, trust_remote_code=settings.config.model.trust_remote_code)
    except ValueError as error:
        raise _refuse("ModelUnsupported", str(error).splitlines()[0], "Use an architecture with a causal language model head.") from error


def _adapt(model: "PreTrainedModel", adapter: "LoraConfig", linear: "dict[str, torch.nn.Linear]") -> tuple[dict[str, int], int]:
    from peft import get_peft_model

    names = [name for name, _ in model.named_modules()]
    known = ", ".join(f"{name} (x{count})" for name, count in sorted(Counter(name.rsplit(".", 1)[-1] for name in linear).items()))
    if not isinstance(adapter.target_modules, str):
        for entry in sorted(adapter.target_modules or ()):
            if not any(name == entry or name.endswith(f".{entry}") for name in names):
                raise _no_match(entry, known)
    try:
        adapted = get_peft_model(model, adapter, low_cpu_mem_usage=True)
    except ValueError as error:
        if "target modules" not in str(error).lower():
            raise _refuse("ConfigurationImpossible", f"method.lora: {error}", "Correct the setting named above.") from error
        raise _no_match(str(adapter.target_modules), known) from error
    trainable, _ = adapted.get_nb_trainable_parameters()
    return dict(Counter(name.rsplit(".", 1)[-1] for name in adapted.base_model.targeted_module_names)), trainable


def _linear_layers(model: "PreTrainedModel") -> "dict[str, torch.nn.Linear]":
    """Linear layers, and the transposed kind that GPT-2 uses for the same."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D))}


def _no_match(entry: str, known: str) -> StageError:
    return _refuse(
        "TargetModulesUnmatched",
        f"E107: method.lora.targetModules {entry!r} matches no module of this model; its linear modules are {known}",
        "Name modules from that list, or use all-linear.",
    )


def _refuse(reason: str, message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, reason, message, suggestion)
