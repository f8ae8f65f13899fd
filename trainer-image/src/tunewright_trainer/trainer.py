"""TRL's `SFTTrainer` with checkpoints that are whole or not there, and stops and resumes at any step. Nothing else is changed."""

from pathlib import Path
from typing import Any

import torch
from trl import SFTConfig, SFTTrainer

from tunewright_trainer import checkpoint, distributed
from tunewright_trainer.agreement import EvaluationLeft
from tunewright_trainer.inputs import Inputs
from tunewright_trainer.signals import stopped


class Tuner(SFTTrainer):
    """Writes each checkpoint into a staging folder and commits it; see `checkpoint`. `inputs` are recorded in each."""

    _staged: Path | None = None
    _committed_step: int | None = None

    def __init__(self, *, inputs: Inputs, args: SFTConfig, **arguments: Any) -> None:
        self._inputs = inputs
        # Transformers' own pruning would take the last checkpoint away before `final/` is whole.
        self._keep, args.save_total_limit = args.save_total_limit, None
        super().__init__(args=args, **arguments)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staged) if self._staged is not None else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Every rank. Hugging Face's own writer fills the staging folder."""
        step = self.state.global_step
        checkpoints = Path(self.args.output_dir)
        self._staged = checkpoint.staging_folder(checkpoints, step)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            staged, self._staged = self._staged, None
        self._point_at_best(staged / f"checkpoint-{step}", checkpoints)
        checkpoint.commit(staged / f"checkpoint-{step}", checkpoints, step=step, inputs=self._inputs)
        self._committed_step = step
        if distributed.rank() == 0:
            best = self.state.best_model_checkpoint
            checkpoint.prune(checkpoints, keep=self._keep, also_keep=[Path(best)] if best else [])

    def _point_at_best(self, folder: Path, checkpoints: Path) -> None:
        """The best checkpoint's final name, which the staging folder hid from the writer."""
        if not self.state.best_global_step:
            return
        best = checkpoints / f"checkpoint-{self.state.best_global_step}"
        self.state.best_model_checkpoint = str(best) if best.is_dir() or best.name == folder.name else None
        if distributed.rank() == 0:
            self.state.save_to_json(str(folder / "trainer_state.json"))

    def _run_epoch(self, *arguments: Any, **named: Any) -> None:
        """As transformers', which would train one step too many after resuming from the checkpoint of the last one."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*arguments, **named)

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """As TRL's, but a stop that was asked for meanwhile leaves a checkpoint of this step and ends with `Stopped`."""
        try:
            return super().evaluate(*arguments, **named)
        except EvaluationLeft:
            if self._committed_step != self.state.global_step:
                self._save_checkpoint(self.model, trial=None)
                self.callback_handler.on_save(self.args, self.state, self.control)
            raise stopped(f"asked to stop during an evaluation; checkpoint-{self.state.global_step} is saved") from None

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """The exporter writes the card, with figures that exist only then."""
