"""Turns training's result into one plain model: the trained weights in fp32, without adapter or quantisation.

Promises exactly the values that training used. The base is loaded in the job's dtype and quantised by the job's settings, then brought to
fp32 exactly; only then is the adapter merged. Merging in bf16 would round most of an adapter away (8 bits of mantissa); merging a QLoRA
adapter into the unquantised base would give a model that was never trained. Parity is also measured in fp32.
"""

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import TrainReport
from tunewright_trainer.common import verified_folder
from tunewright_trainer.common.exits import StageError
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.distributed.final import REPORT_NAME
from tunewright_trainer.tuning import inputs
from tunewright_trainer.tuning.adapters import tuner_of
from tunewright_trainer.tuning.base_model import auto_class, load_base
from tunewright_trainer.tuning.tokenizer import copy_tokenizer

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

_ADAPTER = "adapter_model.safetensors"


def read_train_report(settings: Settings) -> TrainReport:
    """Return training's report, after checking that `final/` is complete and was made from the present base model and data.

    An adapter on another base is another model, which parity could not detect, because both sides would use that base. Raises `StageError`
    with the differences.
    """
    final = settings.final_dir
    fault = verified_folder.verify(final)
    if fault is not None:
        raise StageError(
            ExitCode.CONFIGURATION,
            "TrainingIncomplete",
            f"{final}: {fault}",
            "Complete the train stage first; it resumes from its last checkpoint.",
        )
    now = inputs.describe(settings)
    written = verified_folder.read(final).get("inputs", {})
    inputs.require_same(written, {part: now[part] for part in (inputs.BASE_MODEL, inputs.DATA)}, checkpoint=final)
    return TrainReport.model_validate_json((final / REPORT_NAME).read_bytes())


def load_original(settings: Settings, config: "PretrainedConfig | None" = None) -> "PreTrainedModel":
    """Return the base model in fp32, before training and without quantisation, to compare the tuned model with it."""
    return _in_fp32(load_base(_exportable(settings), config=config, quantize=False))


def load_trained(settings: Settings, config: "PretrainedConfig | None" = None) -> "PreTrainedModel":
    """Return the trained model in fp32 with its adapter unmerged. Every export is compared with it."""
    import torch
    from peft import PeftModel

    if not tuner_of(settings.config).adapts:
        model = auto_class(settings).from_pretrained(
            settings.final_dir,
            dtype=torch.float32,
            trust_remote_code=settings.config.model.trust_remote_code,
            use_safetensors=True,
            local_files_only=True,
        )
        return _in_fp32(model)
    base = _in_fp32(load_base(_exportable(settings), config=config))
    _untie_if_adapted(base, settings.final_dir)
    return PeftModel.from_pretrained(base, settings.final_dir, torch_device="cpu").eval()


def merge(trained: "PreTrainedModel") -> "PreTrainedModel":
    """Fold the adapter into the base, in place. LoRA adds scaling * B @ A; DoRA also rescales every column to its magnitude vector.

    A model without adapter is returned as it is. Raises `StageError` if a merged weight is not finite.
    """
    from peft import PeftModel

    if not isinstance(trained, PeftModel):
        return trained
    try:
        return trained.merge_and_unload(safe_merge=True).eval()
    except ValueError as error:  # from safe_merge
        raise StageError(
            ExitCode.CONFIGURATION, "AdapterNotFinite", str(error), "Training diverged: lower training.learningRate and train again."
        ) from error


def save_merged(model: "PreTrainedModel", settings: Settings) -> Path:
    """Write the merged model in Hugging Face's layout to OUTPUT_DIR/merged, atomically, and return that folder."""
    merged = settings.output_dir / "merged"
    partial = settings.output_dir / ".merged.partial"
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    copy_tokenizer(settings, partial)
    if merged.exists():
        shutil.rmtree(merged)
    partial.rename(merged)
    return merged


def dequantise(model: "PreTrainedModel") -> "PreTrainedModel":
    """Replace bitsandbytes' layers by plain ones with the values that those computed with. Other models stay unchanged."""
    import torch

    return model.dequantize(dtype=torch.float32) if getattr(model, "is_quantized", False) else model


def _in_fp32(model: "PreTrainedModel") -> "PreTrainedModel":
    import torch
    from transformers import GenerationConfig

    plain = dequantise(model).to(device="cpu", dtype=torch.float32).eval()
    plain.config.dtype = torch.float32
    # The server reads the base's sampling defaults from its generation_config.json; here every answer is greedy.
    plain.generation_config = GenerationConfig(
        bos_token_id=getattr(plain.config, "bos_token_id", None), pad_token_id=getattr(plain.config, "pad_token_id", None)
    )
    return plain


def _exportable(settings: Settings) -> Settings:
    """The same job with an attention that runs in fp32 on a CPU, whatever kernel trained it: transformers' choice for the architecture."""
    model = settings.config.model.model_copy(update={"attn_implementation": None})
    return dataclasses.replace(settings, config=settings.config.model_copy(update={"model": model}))


def _untie_if_adapted(model: "PreTrainedModel", adapter: Path) -> None:
    """Give the head its own matrix if the adapter changes head or embedding, because merging into a shared one would change both."""
    import torch
    from safetensors import safe_open

    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is None or head.weight is not embedding.weight:
        return
    own = {name.rpartition(".")[2] for name, module in model.named_modules() if module is head or module is embedding}
    with safe_open(adapter / _ADAPTER, framework="pt") as tensors:
        touched = {part for name in tensors.keys() for part in name.split(".")}  # noqa: SIM118 - safe_open is no mapping
    if own & touched:
        head.weight = torch.nn.Parameter(embedding.weight.detach().clone())
        model.config.tie_word_embeddings = False
