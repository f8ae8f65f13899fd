"""After training: is there anything in what was trained?

Promises that an adapter which is empty (ZeRO-3 saving gone wrong), or which nothing has moved, never leaves as a success.
Sources: huggingface/trl#4416 (empty adapters), pytorch/torchtune#2250 and huggingface/trl#7268 (a DoRA magnitude that stays where it was).
"""

from pathlib import Path
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_trainer.exits import StageError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel

_MAGNITUDE = "lora_magnitude_vector"


def magnitudes(model: "PeftModel") -> "dict[str, torch.Tensor]":
    """DoRA's magnitude vectors as they are now, by the names they are saved under; whole also under ZeRO-3. Empty for LoRA."""
    found = {name: parameter for name, parameter in model.named_parameters() if _MAGNITUDE in name}
    partitioned = [parameter for parameter in found.values() if hasattr(parameter, "ds_id")]
    if not partitioned:
        return {_saved_name(name): parameter.detach().float().cpu().clone() for name, parameter in found.items()}
    import deepspeed

    with deepspeed.zero.GatheredParameters(partitioned):
        return {_saved_name(name): parameter.detach().float().cpu().clone() for name, parameter in found.items()}


def require_trained_adapter(folder: Path, magnitudes_before: "dict[str, torch.Tensor]") -> None:
    """Open the saved adapter. Raises `StageError` when it is empty, when every `lora_B` is zero, or when no magnitude moved."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    empty = [name for name, tensor in tensors.items() if tensor.numel() == 0]
    if not tensors or empty:
        raise _broken(f"adapter_model.safetensors holds {'no tensors' if not tensors else f'empty tensors, such as {empty[0]}'}")
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise _diverged(f"adapter_model.safetensors holds values that are not finite, such as in {broken[0]}")
    ups = [tensor for name, tensor in tensors.items() if "lora_B" in name]
    if ups and not any(tensor.any() for tensor in ups):
        raise _untrained("every lora_B is zero: training moved nothing")
    if magnitudes_before:
        missing = magnitudes_before.keys() - tensors.keys()
        if missing:
            raise _broken(f"the adapter lacks DoRA's {min(missing)}")
        if all(tensors[name].float().equal(before) for name, before in magnitudes_before.items()):
            raise _untrained("no DoRA magnitude moved")


def require_trained_weights(folder: Path) -> None:
    """Open the saved weights of a full fine-tune. Raises `StageError` when any tensor is empty or holds no numbers."""
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise _broken("final/ holds no *.safetensors")
    for path in files:
        with safe_open(path, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - not a dict
                tensor = opened.get_tensor(name)
                if tensor.numel() == 0:
                    raise _broken(f"{path.name}: {name} is empty")
                if not tensor.isfinite().all():
                    raise _diverged(f"{path.name}: {name} holds values that are not finite")


def _saved_name(parameter: str) -> str:
    """`….lora_magnitude_vector.default.weight` is saved as `….lora_magnitude_vector`."""
    return parameter[: parameter.index(_MAGNITUDE) + len(_MAGNITUDE)]


def _broken(message: str) -> StageError:
    return StageError(ExitCode.BUG, "AdapterBroken", message, "Please report it with this pod's log; the checkpoints are kept.")


def _diverged(message: str) -> StageError:
    suggestion = "Lower training.learningRate or training.maxGradNorm and train again under another name."
    return StageError(ExitCode.CONFIGURATION, "TrainingDiverged", message, suggestion)


def _untrained(message: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "NothingLearned", message, "Raise training.learningRate or training.maxSteps.")
