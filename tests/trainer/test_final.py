"""What training leaves is looked into before it counts as a success."""

import pytest
import tiny
import torch
from peft import IA3Config, LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.distributed.final import require_trained_adapter, require_trained_weights, starts

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_weights_that_are_not_finite_are_a_divergence_and_no_defect(tmp_path, value) -> None:
    save_file({"lora_B": torch.tensor([1.0, value])}, tmp_path / "adapter_model.safetensors")
    for look in (lambda: require_trained_weights(tmp_path), lambda: require_trained_adapter(tmp_path, {})):
        with pytest.raises(StageError, match="lora_B") as raised:
            look()
        assert (raised.value.code, raised.value.reason) == (ExitCode.CONFIGURATION, "TrainingDiverged")
        assert "learningRate" in raised.value.suggestion


VECTOR = "base_model.model.layers.0.down_proj.ia3_l"


@pytest.mark.parametrize(
    ("reason", "saved"),
    [("NothingLearned", {VECTOR: torch.ones(4)}), ("AdapterBroken", {"another": torch.ones(4)}), (None, {VECTOR: torch.full((4,), 1.1)})],
    ids=["as it began", "without the vector", "moved"],
)
def test_an_adapter_that_training_did_not_move_is_no_result(tmp_path, reason, saved) -> None:
    save_file(saved, tmp_path / "adapter_model.safetensors")
    began = {VECTOR: torch.ones(4)}
    if reason is None:
        require_trained_adapter(tmp_path, began)
        return
    with pytest.raises(StageError, match="ia3_l") as raised:
        require_trained_adapter(tmp_path, began)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("expected", "config"),
    [
        (set(), LoraConfig(target_modules=["down_proj"])),
        ({"lora_magnitude_vector"}, LoraConfig(target_modules=["down_proj"], use_dora=True)),
        ({"ia3_l"}, IA3Config(target_modules=["down_proj"], feedforward_modules=["down_proj"])),
    ],
    ids=["LoRA", "DoRA", "IA3"],
)
def test_what_starts_elsewhere_than_at_zero_is_recorded_under_its_saved_name(expected, config) -> None:
    model = get_peft_model(tiny.phi3(), config)
    began = starts(model)
    assert {name.rpartition(".")[2] for name in began} == expected
    assert set(began) <= set(get_peft_model_state_dict(model))
