"""Train's report: the figures of the resulting model, over all ranks and all attempts."""

import resource

import torch
from transformers import Trainer

from tunewright_contract.reports import TrainReport
from tunewright_trainer.distributed import process_group


def train_report(trainer: Trainer, *, training_loss: float, seconds: float, resumed_from_step: int | None) -> TrainReport:
    """Return the report. Every rank must call this; memory is the highest of all ranks. `training_loss` is used if no step was logged."""
    return TrainReport(
        step=trainer.state.global_step,
        max_steps=trainer.state.max_steps,
        train_loss=_last_logged(trainer, "loss", default=training_loss),
        eval_loss=_eval_loss(trainer),
        tokens=int(_last_logged(trainer, "num_tokens", default=0)),
        seconds=round(seconds, 3),
        peak_memory_bytes=max(process_group.gather(_peak_memory())),
        resumed_from_step=resumed_from_step,
    )


def _last_logged(trainer: Trainer, name: str, *, default: float) -> float:
    """Return the newest logged value of a name. The checkpoints contain the log, so it covers the whole run."""
    return next((float(entry[name]) for entry in reversed(trainer.state.log_history) if name in entry), default)


def _eval_loss(trainer: Trainer) -> float | None:
    """Return the validation loss of the resulting model: logged at its step, or measured now if the schedule did not."""
    if trainer.eval_dataset is None or trainer.args.eval_strategy == "no":
        return None
    state = trainer.state
    step = (trainer.args.load_best_model_at_end and state.best_global_step) or state.global_step
    measured = [entry for entry in state.log_history if "eval_loss" in entry and entry["step"] == step]
    return float(measured[-1]["eval_loss"] if measured else trainer.evaluate()["eval_loss"])


def _peak_memory() -> int:
    """Return the peak memory in bytes: of the accelerator if there is one, else of the process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
