"""`final/`: what training leaves for export. Adapter or full weights, the base's own tokenizer files, `train.json`, a manifest.

Promises the tokenizer files byte for byte as the base has them, no pickles, and a folder that is whole or not there.
"""

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunewright_contract.reports import TrainReport
from tunewright_trainer import distributed, manifest
from tunewright_trainer.inputs import Inputs
from tunewright_trainer.model import TOKENIZER_FILES, base_folder
from tunewright_trainer.settings import Settings
from tunewright_trainer.verify import require_trained_adapter, require_trained_weights

if TYPE_CHECKING:
    from tunewright_trainer.trainer import Tuner

log = logging.getLogger(__name__)

REPORT_NAME = "train.json"


def finished_report(final: Path) -> TrainReport | None:
    """The report of a run that is already whole, or None. What does not verify is said in the log and trained again."""
    if not final.is_dir():
        return None
    fault = manifest.verify(final)
    if fault is not None:
        log.warning("%s/ is not used: %s", final.name, fault)
        return None
    return TrainReport.model_validate_json((final / REPORT_NAME).read_bytes())


def save_final(trainer: "Tuner", settings: Settings, report: TrainReport, magnitudes_before: dict[str, Any], *, inputs: Inputs) -> None:
    """Save, look inside, seal. Every rank takes part in the gathering; rank 0 writes. Raises `StageError` when nothing was learned."""
    staged = settings.output_dir / ".partial-final"
    if distributed.rank() == 0:
        manifest.remove_tree(staged)
    distributed.barrier()
    trainer.save_model(str(staged))
    if distributed.rank() == 0:
        if settings.config.method.tuner == "lora":
            require_trained_adapter(staged, magnitudes_before)
        else:
            require_trained_weights(staged)
        _put_tokenizer(staged, settings)
        (staged / REPORT_NAME).write_text(report.model_dump_json(indent=1), encoding="utf-8")
        manifest.seal(staged, settings.final_dir, manifest.entries(staged, manifest.files_in(staged)), step=report.step, inputs=inputs)
        log.info("final/ is complete")
    distributed.barrier()


def _put_tokenizer(staged: Path, settings: Settings) -> None:
    """Replace what the trainer wrote by the base's own files: a re-saved tokenizer is not always the same tokenizer."""
    for name in (*TOKENIZER_FILES, "training_args.bin", "README.md"):
        (staged / name).unlink(missing_ok=True)
    base = base_folder(settings, weights=False)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, staged / name)
    if settings.config.model.chat_template is not None:
        (staged / "chat_template.jinja").write_text(settings.config.model.chat_template, encoding="utf-8")
