"""What training leaves is looked into before it counts as a success."""

import pytest
import tiny
from lazily import lazily

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.distributed.final import require_trained_adapter, require_trained_weights, starts

peft = lazily("peft")
safetensors_torch = lazily("safetensors.torch")
torch = lazily("torch")

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_weights_that_are_not_finite_are_reported_as_divergence(tmp_path, value) -> None:
    safetensors_torch.save_file({"lora_B": torch.tensor([1.0, value])}, tmp_path / "adapter_model.safetensors")
    for look in (lambda: require_trained_weights(tmp_path), lambda: require_trained_adapter(tmp_path, {})):
        with pytest.raises(StageError, match="lora_B") as raised:
            look()
        assert (raised.value.code, raised.value.reason) == (ExitCode.CONFIGURATION, "TrainingDiverged")
        assert "learningRate" in raised.value.suggestion


VECTOR = "base_model.model.layers.0.down_proj.ia3_l"


@pytest.mark.parametrize(
    ("reason", "saved"),
    [("NothingLearned", {VECTOR: 1.0}), ("AdapterBroken", {"another": 1.0}), (None, {VECTOR: 1.1})],
    ids=["as it began", "without the vector", "moved"],
)
def test_an_unchanged_adapter_is_refused(tmp_path, reason, saved) -> None:
    tensors = {name: torch.full((4,), value) for name, value in saved.items()}
    safetensors_torch.save_file(tensors, tmp_path / "adapter_model.safetensors")
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
        (set(), {"peft_type": "LORA"}),
        ({"lora_magnitude_vector"}, {"peft_type": "LORA", "use_dora": True}),
        ({"ia3_l"}, {"peft_type": "IA3", "feedforward_modules": ["down_proj"]}),
    ],
    ids=["LoRA", "DoRA", "IA3"],
)
def test_parameters_that_do_not_start_at_zero_have_their_saved_name(expected, config) -> None:
    model = peft.get_peft_model(tiny.phi3(), peft.get_peft_config({"target_modules": ["down_proj"], **config}))
    began = starts(model)
    assert {name.rpartition(".")[2] for name in began} == expected
    assert set(began) <= set(peft.get_peft_model_state_dict(model))
