"""Counts the parameters of the base model and the trained ones on torch's meta device: shapes only, no weights, seconds for any size.

Promises the numbers that the plan's memory formula needs. Refuses a `targetModules` entry that matches no module (E107). PEFT accepts it if
another entry matches.
"""

from collections import Counter
from typing import TYPE_CHECKING

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import ModelFacts
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.adapters import fitted_adapter, tuner_of
from tunewright_trainer.tuning.base_model import auto_class

if TYPE_CHECKING:
    import torch
    from peft import PeftConfig
    from transformers import PretrainedConfig, PreTrainedModel


def model_facts(config: "PretrainedConfig", settings: Settings) -> ModelFacts:
    """Count the parameters. Raises `StageError` (CONFIGURATION) for target modules that do not exist, with a list of the existing ones."""
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
        "layers": _layers(config),
        "vocab_size": config.vocab_size,
        "context_length": positions(model) or settings.config.data.max_length,  # T5 has no bound
    }
    adapter = fitted_adapter(settings, model)
    if adapter is None:
        return ModelFacts(**facts, trainable_parameters=parameters)
    adapted, trainable = _adapt(model, adapter, linear, f"method.{tuner_of(settings.config).settings}")
    return ModelFacts(**facts, trainable_parameters=trainable, target_modules=adapted)


def _on_meta(config: "PretrainedConfig", settings: Settings) -> "PreTrainedModel":
    import torch

    try:
        with torch.device("meta"):
            return auto_class(settings).from_config(config, trust_remote_code=settings.config.model.trust_remote_code)
    except ValueError as error:
        way_out = f"Use an architecture of transformers' {TASKS[settings.config.task].auto_class}."
        raise _refuse("ModelUnsupported", str(error).splitlines()[0], way_out) from error


def positions(model: "PreTrainedModel") -> int | None:
    """Return how many tokens have a position, None without a bound. RoBERTa and its relatives count from the place after the padding's."""
    import torch

    stated: int | None = getattr(model.config, "max_position_embeddings", None)
    tables = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    paddings = [table.padding_idx for table in tables if isinstance(table, torch.nn.Embedding) and table.padding_idx is not None]
    return stated and stated - max((padding + 1 for padding in paddings), default=0)


def _layers(config: "PretrainedConfig") -> int:
    """Return the layers of an encoder and of a decoder together: each has activations of its own."""
    of_decoder = next((found for name in ("num_decoder_layers", "decoder_layers") if (found := getattr(config, name, None))), 0)
    return int(config.num_hidden_layers) + int(of_decoder)


def require_fit(tokens: int, model: ModelFacts, settings: Settings) -> None:
    """Raise `StageError` if examples are longer than the context, or if the tokenizer has more tokens than the model has embeddings."""
    limit = settings.config.data.max_length
    if limit > model.context_length:
        raise _refuse(
            "MaxLengthTooLong",
            f"data.maxLength={limit} is beyond the model's context of {model.context_length} tokens",
            f"Set data.maxLength to at most {model.context_length}.",
        )
    if tokens > model.vocab_size:
        raise _refuse(
            "TokenizerTooLarge",
            f"the tokenizer has {tokens} tokens and the model embeddings for {model.vocab_size}",
            "Use the tokenizer that belongs to this model.",
        )


def _adapt(
    model: "PreTrainedModel", adapter: "PeftConfig", linear: "dict[str, torch.nn.Linear]", section: str
) -> tuple[dict[str, int], int]:
    """Adapt the model as training would. `section` is the job's field with the tuner's settings."""
    from peft import get_peft_model

    names = [name for name, _ in model.named_modules()]
    known = ", ".join(f"{name} (x{count})" for name, count in sorted(Counter(name.rsplit(".", 1)[-1] for name in linear).items()))
    targets = getattr(adapter, "target_modules", None)
    if not isinstance(targets, str):
        for entry in sorted(targets or ()):
            if not any(name == entry or name.endswith(f".{entry}") for name in names):
                raise _no_match(section, entry, known)
    try:
        adapted = get_peft_model(model, adapter, low_cpu_mem_usage=True)
    except ValueError as error:
        if "target modules" not in str(error).lower():
            raise _refuse("ConfigurationImpossible", f"{section}: {error}", "Correct the setting named above.") from error
        raise _no_match(section, str(targets), known) from error
    trainable, _ = adapted.get_nb_trainable_parameters()
    return dict(Counter(name.rsplit(".", 1)[-1] for name in adapted.base_model.targeted_module_names)), trainable


def _linear_layers(model: "PreTrainedModel") -> "dict[str, torch.nn.Linear]":
    """Return the linear layers, and the transposed ones of GPT-2."""
    import torch
    from transformers.pytorch_utils import Conv1D

    return {name: module for name, module in model.named_modules() if isinstance(module, (torch.nn.Linear, Conv1D))}


def _no_match(section: str, entry: str, known: str) -> StageError:
    return _refuse(
        "TargetModulesUnmatched",
        f"E107: {section}.targetModules {entry!r} matches no module of this model; its linear modules are {known}",
        "Name modules from that list, or use all-linear.",
    )


def _refuse(reason: str, message: str, suggestion: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, reason, message, suggestion)
