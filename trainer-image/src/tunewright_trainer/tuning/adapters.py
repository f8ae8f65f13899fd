"""Builds the tuner in one call of PEFT, from the row of `TUNERS`, the row of `TASKS` and the job's own arguments."""

import re
from typing import TYPE_CHECKING, Any

from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import TUNERS, Tuner
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.trainer_config import MethodConfig, TrainerConfig
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel


def tuner_of(config: TrainerConfig) -> Tuner:
    """The facts of the job's tuner."""
    return TUNERS[config.method.tuner]


def adapter_arguments(method: MethodConfig) -> dict[str, Any]:
    """The keyword arguments of the tuner's PEFT configuration; empty for a tuner without settings."""
    settings = TUNERS[method.tuner].settings
    return (getattr(method, settings) or {}) if settings is not None else {}


def adapter_config(settings: Settings) -> "PeftConfig | None":
    """PEFT's configuration, or None for a tuner that trains the base itself. Raises `StageError` if PEFT refuses it."""
    tuner = tuner_of(settings.config)
    if not tuner.adapts:
        return None
    from peft import get_peft_config

    arguments = {"task_type": TASKS[settings.config.task].peft_task_type, **adapter_arguments(settings.config.method)}
    try:
        return get_peft_config({"peft_type": tuner.peft_type, **arguments})
    except (TypeError, ValueError) as error:
        raise StageError(
            ExitCode.CONFIGURATION,
            "ConfigurationImpossible",
            f"method.{tuner.settings}: {error}",
            "Correct the setting named above.",
        ) from error


def fitted_adapter(settings: Settings, model: "PreTrainedModel") -> "PeftConfig | None":
    """The job's adapter for this model, whose head it leaves alone if the task has put it there. None and errors as `adapter_config`."""
    adapter = adapter_config(settings)
    if adapter is None or not TASKS[settings.config.task].new_head:
        return adapter
    return beside_head(adapter, model)


def beside_head(adapter: "PeftConfig", model: "PreTrainedModel") -> "PeftConfig":
    """The same adapter for a model with a new head: the head is trained whole, and gets no adapter.

    PEFT recognises a head by a few names, which ModernBERT's layers do not have, and keeps only a sequence classifier's out of
    `all-linear`. Its class for question answering drops the token types (peft 0.21.2), so that task type is left out: since the head is
    named here, the class adds nothing else.
    """
    import copy

    from peft import TaskType

    heads = [name for name, part in model.named_children() if name != model.base_model_prefix and any(True for _ in part.parameters())]
    within = [name for name, _ in model.named_modules() if name.partition(".")[0] in heads]
    fitted = copy.copy(adapter)
    fitted.modules_to_save = sorted({*(adapter.modules_to_save or ()), *heads})
    if isinstance(adapter.exclude_modules, str):
        fitted.exclude_modules = "|".join(f"(?:{pattern})" for pattern in (adapter.exclude_modules, *map(re.escape, within)))
    else:
        fitted.exclude_modules = sorted({*(adapter.exclude_modules or ()), *within})
    if adapter.task_type == TaskType.QUESTION_ANS:
        fitted.task_type = None
    return fitted
