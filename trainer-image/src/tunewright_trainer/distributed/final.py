"""`final/`, the input of Export: adapter or full weights, the base's tokenizer files, `train.json`, a manifest.

Promises the base's tokenizer files byte for byte, no pickles, and a folder that is complete or absent. An adapter that is empty (a failed
ZeRO-3 save) or unchanged by training is an error.
Sources: huggingface/trl#4416 (empty adapters), pytorch/torchtune#2250 and huggingface/trl#7268 (a DoRA magnitude that never changes).
"""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import TrainReport
from tunewright_trainer.common import verified_folder
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed import process_group
from tunewright_trainer.tuning.adapters import tuner_of
from tunewright_trainer.tuning.base_model import base_folder
from tunewright_trainer.tuning.inputs import Inputs
from tunewright_trainer.tuning.master_weights import require_masters, to_fp32
from tunewright_trainer.tuning.tokenizer import TOKENIZER_FILES

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import Trainer

    from tunewright_trainer.distributed.trainer import DistributedTrainerMixin

log = logging.getLogger(__name__)

REPORT_NAME = "train.json"
_LORA_MATRICES = ("lora_A", "lora_B", "lora_embedding_A", "lora_embedding_B")


def finished_report(final: Path) -> TrainReport | None:
    """Return the report of a complete run, or None. A folder that does not verify is logged and trained again."""
    if not final.is_dir():
        return None
    fault = verified_folder.verify(final)
    if fault is not None:
        log.warning("%s/ is not used: %s", final.name, fault)
        return None
    return TrainReport.model_validate_json((final / REPORT_NAME).read_bytes())


def train_to_final(trainer: "DistributedTrainerMixin", settings: Settings, *, inputs: Inputs) -> TrainReport:
    """Train in fp32 or with fp32 master copies, and leave `final/`. Raises as `require_masters`, `train_or_stop` and `save_final`."""
    to_fp32(trainer.model, settings.config)
    require_masters(trainer.model, settings.config)
    started_as = starts(trainer.model) if tuner_of(settings.config).adapts else {}
    report = trainer.train_or_stop()
    save_final(trainer, settings, report, started_as, inputs=inputs)
    return report


def save_final(trainer: "Trainer", settings: Settings, report: TrainReport, started_as: dict[str, Any], *, inputs: Inputs) -> None:
    """Save, check the saved weights, seal. Every rank takes part; rank 0 writes. Raises `StageError` if nothing was learned."""
    staged = settings.output_dir / ".partial-final"
    if process_group.rank() == 0:
        verified_folder.remove_tree(staged)
    process_group.barrier()
    trainer.save_model(str(staged))
    if process_group.rank() == 0:
        if tuner_of(settings.config).adapts:
            require_trained_adapter(staged, started_as)
        else:
            require_trained_weights(staged)
        _put_tokenizer(staged, settings)
        (staged / REPORT_NAME).write_text(report.model_dump_json(indent=1), encoding="utf-8")
        verified_folder.seal(
            staged, settings.final_dir, verified_folder.entries(staged, verified_folder.files_in(staged)), step=report.step, inputs=inputs
        )
        log.info("final/ is complete")
    process_group.barrier()


def _put_tokenizer(staged: Path, settings: Settings) -> None:
    """Replace the trainer's tokenizer files by the base's own, because a re-saved tokenizer can differ."""
    for name in (*TOKENIZER_FILES, "training_args.bin", "README.md"):
        (staged / name).unlink(missing_ok=True)
    base = base_folder(settings, weights=False)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, staged / name)
    if settings.config.model.chat_template is not None:
        (staged / "chat_template.jinja").write_text(settings.config.model.chat_template, encoding="utf-8")


def starts(model: "PeftModel") -> "dict[str, torch.Tensor]":
    """Return the present values of the adapter's parameters that do not start at zero, by their saved names; complete also under ZeRO-3.

    DoRA's magnitudes and IA3's vectors, for example. LoRA's own matrices are left out: one of each pair starts at zero.
    """
    prefix = model.base_model.prefix
    found = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and prefix in name and not any(matrix in name for matrix in _LORA_MATRICES)
    }
    partitioned = [parameter for parameter in found.values() if hasattr(parameter, "ds_id")]
    if not partitioned:
        return {_saved_name(name): parameter.detach().float().cpu().clone() for name, parameter in found.items()}
    import deepspeed

    with deepspeed.zero.GatheredParameters(partitioned):
        return {_saved_name(name): parameter.detach().float().cpu().clone() for name, parameter in found.items()}


def require_trained_adapter(folder: Path, started_as: "dict[str, torch.Tensor]") -> None:
    """Open the saved adapter. Raises `StageError` if it is empty, if every `lora_B` is zero, or if no other parameter has changed."""
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
        raise _untrained("every lora_B is zero: training changed nothing")
    if started_as:
        missing = started_as.keys() - tensors.keys()
        if missing:
            raise _broken(f"the adapter lacks {min(missing)}")
        if all(tensors[name].float().equal(before) for name, before in started_as.items()):
            raise _untrained(f"no {min(started_as).rpartition('.')[2]} moved")


def require_trained_weights(folder: Path) -> None:
    """Open the saved weights of a full fine-tune. Raises `StageError` if a tensor is empty or not finite."""
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
    """`….ia3_l.default` is saved as `….ia3_l`, `….lora_magnitude_vector.default.weight` as `….lora_magnitude_vector`."""
    return parameter.rpartition(".default")[0]


def _broken(message: str) -> StageError:
    return StageError(ExitCode.BUG, "AdapterBroken", message, "Please report it with this pod's log; the checkpoints are kept.")


def _diverged(message: str) -> StageError:
    suggestion = "Lower training.learningRate or training.maxGradNorm and train again under another name."
    return StageError(ExitCode.CONFIGURATION, "TrainingDiverged", message, suggestion)


def _untrained(message: str) -> StageError:
    return StageError(ExitCode.CONFIGURATION, "NothingLearned", message, "Raise training.learningRate or training.maxSteps.")
