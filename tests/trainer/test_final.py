"""What training leaves is looked into before it counts as a success."""

import pytest
import torch
from safetensors.torch import save_file

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.distributed.final import require_trained_adapter, require_trained_weights

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INFINITE])
def test_weights_that_are_not_finite_are_a_divergence_and_no_defect(tmp_path, value) -> None:
    save_file({"lora_B": torch.tensor([1.0, value])}, tmp_path / "adapter_model.safetensors")
    for look in (lambda: require_trained_weights(tmp_path), lambda: require_trained_adapter(tmp_path, {})):
        with pytest.raises(StageError, match="lora_B") as raised:
            look()
        assert (raised.value.code, raised.value.reason) == (ExitCode.CONFIGURATION, "TrainingDiverged")
        assert "learningRate" in raised.value.suggestion
