"""Tests the export in Check, before expensive training: merge, export and compare a small random model of the base's shape.

Promises that an architecture, adapter or precision that cannot be exported is refused before the job takes an accelerator, with the
exporter's own cause. It runs Export's own code (`convert`) on a small model (`small_model`), so it takes seconds and bounded memory.
It also runs the graph with chunks and with two sequences at once, as the model server does.
"""

import copy
import dataclasses
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tunewright_contract.capabilities.precisions import EXPORT_PRECISIONS, WHOLE
from tunewright_contract.capabilities.tuners import TUNERS
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import ParityReport
from tunewright_contract.text import head_and_tail
from tunewright_contract.trainer_config import ExportConfig, MethodConfig, Precision
from tunewright_trainer.common.exits import StageError, stage_error
from tunewright_trainer.common.logs import quiet
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.evaluation import parity
from tunewright_trainer.evaluation.exported_models import ExportedDecoder, FloatArray
from tunewright_trainer.evaluation.held_out import Example
from tunewright_trainer.evaluation.parity import Reference
from tunewright_trainer.export.convert import convert
from tunewright_trainer.export.exportable import ANOTHER_BASE, export_unsupported
from tunewright_trainer.export.small_model import small_model
from tunewright_trainer.tuning.adapters import adapter_arguments, adapter_config, tuner_of
from tunewright_trainer.tuning.base_model import auto_class
from tunewright_trainer.tuning.tokenizer import copy_tokenizer

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PretrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

# Root mean square of the export's error, as a share of the logits' own spread. A wrong graph has 1 and more.
# The effect of rounding on random weights is bounded only roughly. The run in fp32 shows that the graph itself is right.
_TOLERANCE: dict[int | None, float] = {None: 0.01, 8: 0.7, 4: 0.9}  # by bits of a weight; None: not quantised
_SAMPLES, _TOKENS, _PROMPT = 2, 24, 8
_PIECES = (7, 1, 9, 1, 6)  # tokens; they add up to _TOKENS
_ADAPTER_SPREAD = 0.05
_STOP = 1  # any token id
_SEED = 0
_CAUSE_CHARACTERS = 1500
# Arguments of PEFT's configurations for starting values that depend on the base's weights or data, and for its layers and tokens by number.
_OF_THE_BASE = frozenset(
    {"init_lora_weights", "loftq_config", "eva_config", "corda_config", "layers_to_transform", "layers_pattern", "trainable_token_indices"}
)


def dry_run_export(settings: Settings, config: "PretrainedConfig") -> None:
    """Export a small model of the job's kind in fp32, for exactness, and in its precision. Raises `StageError` (ExportUnsupported)."""
    log.info("trying the export on a small random model of the same shape")
    small = small_model(config, auto_class(settings), trust_remote_code=settings.config.model.trust_remote_code)
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as scratch, quiet(), _one_thread():
        with _refusing(config, WHOLE.name):
            trained = _trained(settings, small, Path(scratch))
        for precision in dict.fromkeys((WHOLE.name, settings.config.export.precision)):
            with _refusing(config, precision):
                closeness = _export(trained, small, precision, Path(scratch))
            log.info("the %s export of the small model agrees, mean KL %.3g", precision, closeness.mean_kl)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: several would only wait for each other on so small a model, and Check requests half a core."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _export(trained: Settings, small: "PreTrainedModel", precision: Precision, folder: Path) -> ParityReport:
    draft = folder / precision
    draft.mkdir()
    job = dataclasses.replace(trained, config=trained.config.model_copy(update={"export": ExportConfig(precision=precision)}))
    return convert(job, _examples(small.config.vocab_size), [_STOP], draft, check=_check).closeness


def _trained(settings: Settings, small: "PreTrainedModel", folder: Path) -> Settings:
    """Return the same job on the small model, as after training."""
    base, output = folder / "base", folder / "output"
    small.save_pretrained(base)
    copy_tokenizer(settings, base)
    changes = {
        "model": settings.config.model.model_copy(update={"hub": None, "from_scratch": False}),
        "method": _plain_start(settings.config.method),
    }
    config = settings.config.model_copy(update=changes)
    job = dataclasses.replace(settings, config=config, model_dir=base, output_dir=output, publish_dir=None)
    job.final_dir.mkdir(parents=True)
    if not tuner_of(config).adapts:
        small.save_pretrained(job.final_dir)
    else:
        _adapted(small, job).save_pretrained(job.final_dir)
    return job


def _plain_start(method: MethodConfig) -> MethodConfig:
    """Return the job's tuner without settings that depend on the base's weights, or name layers and tokens that the small model lacks."""
    section = TUNERS[method.tuner].settings
    if section is None:
        return method
    return method.model_copy(update={section: {name: v for name, v in adapter_arguments(method).items() if name not in _OF_THE_BASE}})


def _adapted(small: "PreTrainedModel", job: Settings) -> "PeftModel":
    """Return an adapter as after training: no matrix is zero."""
    import torch
    from peft import get_peft_model

    arguments: Any = adapter_config(job)
    try:
        model = get_peft_model(copy.deepcopy(small), arguments)
    except ValueError:  # a pattern that names layers of the base, where Check has counted its matches
        model = get_peft_model(copy.deepcopy(small), dataclasses.replace(arguments, target_modules="all-linear"))
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(_ADAPTER_SPREAD * torch.randn(parameter.shape, generator=generator))
    return model


def _examples(vocabulary: int) -> list[Example]:
    drawn = np.random.default_rng(_SEED).integers(_STOP + 1, vocabulary, (_SAMPLES, _TOKENS))
    return [Example(ids, [False] * _PROMPT + [True] * (_TOKENS - _PROMPT)) for ids in drawn.tolist()]


def _check(reference: Reference, exported: ExportedDecoder, settings: Settings) -> ParityReport:
    """Check parity with a measure for random weights, also for the sequence read in pieces, and for two sequences at once."""
    precision = settings.config.export.precision
    tolerance = _TOLERANCE[EXPORT_PRECISIONS[precision].bits]
    compared = list(reference.against(exported))
    _require_close("the logits", compared, tolerance)
    if precision == WHOLE.name:
        parity.gate_greedy(reference.greedy_against(exported), precision=precision)
    sequences = [example.ids for example in reference.examples]
    alone = [exported.logits(ids) for ids in sequences]
    pieces = [exported.in_chunks(ids, _PIECES) for ids in sequences]
    _require_close("reading a prompt in pieces", zip(alone, pieces, strict=True), tolerance)
    _require_close("reading sequences together", zip(alone, exported.together(sequences), strict=True), tolerance)
    return parity.compare(compared)


def _require_close(what: str, pairs: Iterable[tuple[FloatArray, FloatArray]], tolerance: float) -> None:
    for right, found in pairs:
        off = float(np.sqrt(np.square(right - found).mean()) / right.std())
        if not off <= tolerance:  # also true for a NaN
            raise StageError(
                ExitCode.CONFIGURATION,
                "ParityFailed",
                f"{what}: the export is off by {off:.3g} of the logits' spread, {tolerance:g} is allowed",
                "Report it with the model's config.json.",
            )


@contextmanager
def _refusing(config: "PretrainedConfig", precision: Precision) -> Iterator[None]:
    """A failure here would also occur in Export, after training. A fault of this machine is reported unchanged."""
    try:
        yield
    except Exception as error:
        found = stage_error(error)
        if found.code in {ExitCode.RETRY, ExitCode.OUT_OF_MEMORY}:
            raise found from error
        raise export_unsupported(
            f"the architecture {config.model_type} cannot be exported to ONNX in {precision} "
            f"(tried on a small model of the same shape): {head_and_tail(found.message, _CAUSE_CHARACTERS)}",
            ANOTHER_BASE
            if precision == WHOLE.name
            else f"Choose another output.onnx.precision ({WHOLE.name} can be exported), or another base.",
        ) from error
