"""A base model with a new head: its configuration, its loading, the tuner on it, and the arguments of its training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.tuning.adapters import fitted_adapter
from tunewright_trainer.tuning.arguments import ArgumentsT, training_arguments, zero_stage
from tunewright_trainer.tuning.base_model import load_base, load_config, random_base

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def headed_config(
    settings: Settings, tokenizer: "PreTrainedTokenizerBase", labels: Sequence[str], *, problem_type: str | None = None
) -> "PretrainedConfig":
    """The base's configuration with a head for these labels, and a padding token: decoders read a text's label at the last token before it.

    `problem_type` is transformers', by which a sequence classifier chooses its loss. Raises `StageError` for a tokenizer that has nothing
    to pad with.
    """
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if pad is None:
        raise StageError(
            ExitCode.CONFIGURATION,
            "PadMissing",
            "the tokenizer has neither pad_token nor eos_token, so texts cannot be padded to one length",
            "Set pad_token in the base model's tokenizer_config.json.",
        )
    config = load_config(settings)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = problem_type
    config.pad_token_id = pad
    config.use_cache = False
    return config


def _pads_right(tokenizer: "PreTrainedTokenizerBase", config: "PretrainedConfig") -> None:
    """Let the tokenizer pad as the server does: on the right, with the configuration's padding token."""
    tokenizer.padding_side = "right"
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(config.pad_token_id)


def ready_to_train(
    settings: Settings,
    tokenizer: "PreTrainedTokenizerBase",
    config: "PretrainedConfig",
    kind: type[ArgumentsT],
    *,
    has_validation: bool,
    label_names: Sequence[str],
) -> "tuple[ArgumentsT, PreTrainedModel]":
    """Return the training arguments and the model with its head and tuner, made in the order that ZeRO-3 needs.

    From then on, the tokenizer pads as the server does.
    """
    if settings.config.model.from_scratch:
        random_base(settings, config)  # before the arguments: from then on ZeRO-3 partitions whatever is created
    _pads_right(tokenizer, config)
    arguments = training_arguments(settings, kind, has_validation=has_validation, label_names=list(label_names))
    return arguments, _load_with_tuner(settings, config)


def _load_with_tuner(settings: Settings, config: "PretrainedConfig") -> "PreTrainedModel":
    """The base with the task's head and the job's tuner, ready to train. A head that the base lacks is drawn from `training.seed`."""
    from transformers import set_seed

    set_seed(int(settings.config.training.get("seed", 42)))
    model = load_base(settings, config=config)
    adapter = fitted_adapter(settings, model)
    if adapter is None:
        return model
    from peft import get_peft_model

    # As TRL: under ZeRO-3 the adapter of a base that is not quantised keeps the base's type.
    keeps_type = zero_stage(settings) == 3 and settings.config.method.quantization is None
    if settings.config.training.get("gradient_checkpointing"):
        model.enable_input_require_grads()
    return get_peft_model(model, adapter, autocast_adapter_dtype=not keeps_type)
