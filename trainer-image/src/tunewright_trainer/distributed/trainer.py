"""What distributed training adds to every trainer class: agreed stop, verified checkpoints, resume, resize and an exact order of examples.

Works over `transformers.Trainer` and the classes derived from it, and changes nothing else of them.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainingArguments, set_seed

from tunewright_contract.reports import TrainReport
from tunewright_trainer.common.signals import StopRequest, stopped
from tunewright_trainer.distributed import checkpoint, process_group, universal
from tunewright_trainer.distributed.agreed_stop import AgreedStop, EvaluationLeft
from tunewright_trainer.distributed.order import GlobalOrder
from tunewright_trainer.distributed.report import train_report
from tunewright_trainer.distributed.resume import StartingPoint


@contextlib.contextmanager
def keep_number_types(model: torch.nn.Module) -> Iterator[None]:
    """Keep number types while an adapter loads: PEFT converts bfloat16, in which TRL trains adapters of quantised models, to float32."""
    types = {name: parameter.dtype for name, parameter in model.named_parameters() if parameter.requires_grad}
    yield
    for name, parameter in model.named_parameters():
        if parameter.dtype != types.get(name, parameter.dtype):
            parameter.data = parameter.data.to(types[name])


if TYPE_CHECKING:
    from transformers import Trainer as _TrainerBelow
else:
    _TrainerBelow = object  # the class that stands after the mixin


class DistributedTrainerMixin(_TrainerBelow):
    """Stands before a trainer class of transformers or TRL: `class SFTTrainer(DistributedTrainerMixin, trl.SFTTrainer)`.

    Writes each checkpoint into a staging folder and commits it (see `checkpoint`), with the inputs of `start`. Stops on `request`.
    """

    _staged: Path | None = None
    _committed_step: int | None = None
    _order: GlobalOrder | None = None
    _groups: list[dict[str, Any]] | None = None

    def __init__(
        self,
        *,
        start: StartingPoint,
        request: StopRequest,
        args: TrainingArguments,
        callbacks: Sequence[TrainerCallback] = (),
        **arguments: Any,
    ) -> None:
        self._start = start
        self._request = request
        self._agreed_stop = AgreedStop(request)
        # Transformers' own pruning would remove the last checkpoint before `final/` is complete.
        self._keep, args.save_total_limit = args.save_total_limit, None
        super().__init__(args=args, callbacks=[self._agreed_stop, *callbacks], **arguments)

    def train_or_stop(self) -> TrainReport:
        """Train from the starting point to the last step. Raises `StageError` (Stopped), with a checkpoint, when a signal arrives."""
        if process_group.any_rank(self._request.asked):
            raise stopped("stopped before the first step")
        began = time.monotonic()
        output = self.train(resume_from_checkpoint=str(self._start.checkpoint) if self._start.checkpoint else None)
        seconds = time.monotonic() - began
        if self._agreed_stop.stopped:
            raise stopped(f"stopped; checkpoint-{self.state.global_step} is saved")
        return train_report(self, training_loss=output.training_loss, seconds=seconds, resumed_from_step=self._start.step)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staged) if self._staged is not None else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        """Save a checkpoint, on every rank. Hugging Face's own writer fills the staging folder."""
        step = self.state.global_step
        checkpoints = Path(self.args.output_dir)
        self._staged = checkpoint.staging_folder(checkpoints, step)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            staged, self._staged = self._staged, None
        self._point_at_best(staged / f"checkpoint-{step}", checkpoints)
        checkpoint.commit(staged / f"checkpoint-{step}", checkpoints, step=step, inputs=self._start.inputs)
        self._committed_step = step
        if process_group.rank() == 0:
            best = self.state.best_model_checkpoint
            checkpoint.prune(checkpoints, keep=self._keep, also_keep=[Path(best)] if best else [])

    def _point_at_best(self, folder: Path, checkpoints: Path) -> None:
        """Record the best checkpoint under its final name, because the writer only saw the staging folder."""
        if not self.state.best_global_step:
            return
        best = checkpoints / f"checkpoint-{self.state.best_global_step}"
        self.state.best_model_checkpoint = str(best) if best.is_dir() or best.name == folder.name else None
        if process_group.rank() == 0:
            self.state.save_to_json(str(folder / "trainer_state.json"))

    def _get_train_sampler(self, train_dataset: Any = None) -> GlobalOrder:
        """As in transformers, but in an order that does not depend on the number of processes."""
        examples = self.train_dataset if train_dataset is None else train_dataset
        strategy = self.args.train_sampling_strategy
        self._order = GlobalOrder(
            len(examples),
            global_batch=self.get_total_train_batch_size(self.args),
            seed=self.args.seed if self.args.data_seed is None else self.args.data_seed,
            shuffle=strategy != "sequential",
            lengths=[len(ids) for ids in examples["input_ids"]] if strategy == "group_by_length" else None,
        )
        return self._order

    def _run_epoch(self, *, epoch: int, **named: Any) -> None:
        """As in transformers, without the additional step that it would train after resuming from the last step's checkpoint."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        if self._order is not None:
            self._order.set_epoch(epoch)  # accelerate does not find the sampler below the wrapper that skips batches before a checkpoint
        super()._run_epoch(epoch=epoch, **named)

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: str | None) -> Any:
        with self._loadable(resume_from_checkpoint) as folder:
            return super()._prepare_for_training(max_steps, train_dataloader, folder)

    def _load_from_checkpoint(self, *arguments: Any, **named: Any) -> None:
        """As in transformers, but trained weights keep the number type of an undisturbed run."""
        with keep_number_types(self.model):
            super()._load_from_checkpoint(*arguments, **named)

    def _load_best_model(self) -> None:
        best = self.state.best_model_checkpoint
        with self._loadable(best) as folder, keep_number_types(self.model):
            self.state.best_model_checkpoint = folder
            super()._load_best_model()
        self.state.best_model_checkpoint = best

    @contextlib.contextmanager
    def _loadable(self, folder: str | None) -> Iterator[str | None]:
        """Yield a checkpoint that DeepSpeed can load: itself, or a converted copy if another number of processes wrote its shards."""
        plugin = self.accelerator.state.deepspeed_plugin if self.is_deepspeed_enabled else None
        if folder is None or plugin is None or not plugin.zero_stage or not checkpoint.of_other_world_size(Path(folder)):
            yield folder
            return
        with universal.converted(Path(folder)) as copy:
            engine = self.model_wrapped if self.model_wrapped is not self.model else None
            with universal.load_universal(plugin.deepspeed_config, engine):
                yield str(copy)
            universal.restore_groups(self.model_wrapped, self._groups or [])

    def create_optimizer(self, *arguments: Any, **named: Any) -> torch.optim.Optimizer:
        """As in transformers. The settings of each parameter group are kept for `universal.restore_groups`."""
        optimizer = super().create_optimizer(*arguments, **named)
        self._groups = universal.group_settings(optimizer)
        return optimizer

    def _load_rng_state(self, folder: str | None) -> None:
        """As in transformers. With another number of processes there is no saved random state, so each starts with a new one."""
        if folder is not None and checkpoint.of_other_world_size(Path(folder)):
            set_seed(self.args.seed + self.state.global_step)
            return
        super()._load_rng_state(folder)

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """As in transformers, but a stop during the evaluation saves a checkpoint of this step and ends with `Stopped`."""
        try:
            metrics: dict[str, float] = super().evaluate(*arguments, **named)
        except EvaluationLeft:
            if self._committed_step != self.state.global_step:
                self._save_checkpoint(self.model, trial=None)
                self.callback_handler.on_save(self.args, self.state, self.control)
            raise stopped(f"stopped during an evaluation; checkpoint-{self.state.global_step} is saved") from None
        return metrics

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Do nothing: the exporter writes the card, with figures that exist only then."""
