"""Names and defaults of libraries that the API does not import, compared with their installed sources."""

import ast
import importlib.util
from pathlib import Path
from typing import get_args

import pytest

from tunewright.api.rules.deepspeed import REMOVED_KEYS, REMOVED_ZERO_KEYS
from tunewright.api.rules.evaluation import F_DIVERGENCE_LOSSES
from tunewright.api.v1alpha1.method import Ia3Spec, LoraSpec
from tunewright.api.v1alpha1.training import LrScheduler, TrainingSpec
from tunewright_contract.capabilities.optimizers import OPTIMIZERS
from tunewright_contract.capabilities.tasks import TASKS
from tunewright_contract.capabilities.tuners import TUNERS

OURS_IN_TRAINING = {"global_batch_size", "precision", "early_stopping"}
OURS_IN_LORA = {"loraplus_lr_ratio"}
# For TPUs, for Ascend NPUs, and of torchdistx: no accelerator that a job can request, and no package of the trainer image, runs them.
NOT_OFFERED = {"adamw_torch_xla", "adamw_torch_npu_fused", "adamw_anyprecision"}


def source(package, *path):
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    return ast.parse(Path(spec.submodule_search_locations[0], *path).read_text(encoding="utf-8"))


def class_body(tree, name):
    return next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == name).body


def annotated(tree, name):
    return {node.target.id for node in class_body(tree, name) if isinstance(node, ast.AnnAssign)}


def enum_values(tree, name):
    return {node.value.value for node in class_body(tree, name) if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)}


def assigned(tree, name):
    return next(n.value for n in ast.walk(tree) if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == name)


def test_training_fields_are_the_arguments_of_sft_config():
    theirs = annotated(source("trl", "trainer", "sft_config.py"), "SFTConfig") | annotated(
        source("trl", "trainer", "base_config.py"), "_BaseConfig"
    )
    theirs |= annotated(source("transformers", "training_args.py"), "TrainingArguments")
    assert set(TrainingSpec.model_fields) - theirs == OURS_IN_TRAINING


def test_lora_fields_are_the_arguments_of_lora_config():
    theirs = annotated(source("peft", "tuners", "lora", "config.py"), "LoraConfig")
    assert set(LoraSpec.model_fields) - theirs == OURS_IN_LORA


def test_ia3_fields_are_the_arguments_of_ia3_config():
    theirs = annotated(source("peft", "tuners", "ia3", "config.py"), "IA3Config")
    assert theirs - set(Ia3Spec.model_fields) == {"fan_in_fan_out"}  # PEFT reads from the layer how it stores weights
    assert set(Ia3Spec.model_fields) <= theirs


def test_optimizers_are_those_of_transformers():
    assert set(OPTIMIZERS) == enum_values(source("transformers", "training_args.py"), "OptimizerNames") - NOT_OFFERED


def test_schedules_are_those_of_transformers():
    assert set(get_args(LrScheduler)) == enum_values(source("transformers", "trainer_utils.py"), "SchedulerType")


@pytest.mark.parametrize(
    ("ours", "theirs"), [(REMOVED_KEYS, "_REMOVED_TOP_LEVEL_CONFIG_KEYS"), (REMOVED_ZERO_KEYS, "_REMOVED_ZERO_CONFIG_KEYS")]
)
def test_removed_keys_are_those_of_deepspeed(ours, theirs):
    keys = assigned(source("deepspeed", "runtime", "config.py"), theirs).keys
    assert set(ours) == {key.value for key in keys}


def test_divergence_losses_are_those_of_trl():
    assert set(F_DIVERGENCE_LOSSES) == ast.literal_eval(assigned(source("trl", "trainer", "dpo_trainer.py"), "f_divergence_loss_types"))


def test_tuners_are_built_by_types_of_peft():
    assert {row.peft_type for row in TUNERS.values() if row.adapts} <= enum_values(source("peft", "utils", "peft_types.py"), "PeftType")


def test_heads_are_built_for_task_types_of_peft():
    assert {row.peft_task_type for row in TASKS.values()} <= enum_values(source("peft", "utils", "peft_types.py"), "TaskType")
