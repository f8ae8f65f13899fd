"""Training, from top to bottom: join, load, resume, train, save, verify the result.

Promises a complete and verified `final/`, or a checkpoint to resume from and a reason. If `final/` is complete already, it reports that at
once and trains nothing.
"""

import logging
import os
import time
from typing import TYPE_CHECKING

from tunewright_contract.reports import TrainReport
from tunewright_trainer.common.ownership import RUN_ENTRIES, mark
from tunewright_trainer.common.settings import Settings
from tunewright_trainer.common.signals import StopRequest, exit_on_signal_during_rendezvous, stopped
from tunewright_trainer.distributed import process_group
from tunewright_trainer.distributed.final import finished_report, save_final

if TYPE_CHECKING:
    from tunewright_trainer.distributed.trainer import Tuner

log = logging.getLogger(__name__)


def run(settings: Settings) -> TrainReport | None:
    """Train. Returns rank 0's report, None on the other ranks. Raises `StageError`."""
    report = finished_report(settings.final_dir)
    if report is not None:
        log.info("%s is complete: nothing to train", settings.final_dir.name)
        return report if os.environ.get("RANK", "0") == "0" else None
    if os.environ.get("RANK", "0") == "0":
        mark(settings.output_dir, settings.config.job, entries=RUN_ENTRIES)
    settings.checkpoints_dir.mkdir(parents=True, exist_ok=True)
    exit_on_signal_during_rendezvous()
    process_group.join(settings)
    request = StopRequest()
    request.listen()  # from here on there is something to save
    report = _train(settings, request)
    first = process_group.rank() == 0
    process_group.leave()
    return report if first else None


def _train(settings: Settings, request: StopRequest) -> TrainReport:
    from tunewright_trainer.data.reading import read_splits
    from tunewright_trainer.data.tokenization import encode
    from tunewright_trainer.distributed import checkpoint, universal
    from tunewright_trainer.distributed.agreed_stop import AgreedStop
    from tunewright_trainer.distributed.final import magnitudes
    from tunewright_trainer.distributed.trainer import Tuner
    from tunewright_trainer.tuning import inputs
    from tunewright_trainer.tuning.arguments import lora_config, sft_config
    from tunewright_trainer.tuning.base_model import load_base, random_base
    from tunewright_trainer.tuning.master_weights import require_masters, to_fp32
    from tunewright_trainer.tuning.progress import Metrics, posters
    from tunewright_trainer.tuning.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(settings)
    splits = read_splits(settings)
    made_from = process_group.from_rank_zero(inputs.describe(settings) if process_group.rank() == 0 else None)
    if process_group.rank() == 0:
        checkpoint.prune(settings.checkpoints_dir, keep=None)  # what a run that died left half written
    resumed = checkpoint.choose(settings.checkpoints_dir, made_from)
    if resumed is not None:
        universal.require_convertible(resumed[0], settings)
        log.info("going on from %s", resumed[0].name)
    train = encode(splits.train, tokenizer, settings).dataset
    validation = None if splits.validation is None else encode(splits.validation, tokenizer, settings).dataset
    if settings.config.model.from_scratch:
        random_base(settings)  # before the arguments: from then on ZeRO-3 partitions whatever is created
    peft_config = lora_config(settings)
    arguments = sft_config(settings, has_validation=validation is not None)
    stop = AgreedStop(request)
    trainer = Tuner(
        inputs=made_from,
        model=load_base(settings),
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=tokenizer,
        peft_config=peft_config,
        callbacks=[stop, Metrics(settings.metrics_file), *posters()],
    )
    to_fp32(trainer.model, settings.config)
    require_masters(trainer.model, settings.config)
    magnitudes_before = magnitudes(trainer.model) if peft_config is not None else {}

    if process_group.any_rank(request.asked):
        raise stopped("asked to stop before the first step")

    began = time.monotonic()
    output = trainer.train(resume_from_checkpoint=str(resumed[0]) if resumed else None)
    seconds = time.monotonic() - began
    if stop.stopped:
        raise stopped(f"asked to stop; checkpoint-{trainer.state.global_step} is saved")
    report = TrainReport(
        step=trainer.state.global_step,
        max_steps=trainer.state.max_steps,
        train_loss=_last_logged(trainer, "loss", default=output.training_loss),
        eval_loss=_eval_loss(trainer),
        tokens=int(_last_logged(trainer, "num_tokens", default=0)),
        seconds=round(seconds, 3),
        peak_memory_bytes=max(process_group.gather(_peak_memory())),
        resumed_from_step=resumed[1] if resumed else None,
    )
    save_final(trainer, settings, report, magnitudes_before, inputs=made_from)
    return report


def _last_logged(trainer: "Tuner", name: str, *, default: float) -> float:
    """The newest value logged under a name. The log travels in the checkpoints, so it is the whole run's."""
    return next((float(entry[name]) for entry in reversed(trainer.state.log_history) if name in entry), default)


def _eval_loss(trainer: "Tuner") -> float | None:
    """The validation loss of the model that comes out: measured at its step, or now if the schedule did not."""
    if trainer.eval_dataset is None or trainer.args.eval_strategy == "no":
        return None
    state = trainer.state
    step = (trainer.args.load_best_model_at_end and state.best_global_step) or state.global_step
    measured = [entry for entry in state.log_history if "eval_loss" in entry and entry["step"] == step]
    return float(measured[-1]["eval_loss"] if measured else trainer.evaluate()["eval_loss"])


def _peak_memory() -> int:
    """Bytes: of the accelerator where there is one, else of the process."""
    import resource

    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
