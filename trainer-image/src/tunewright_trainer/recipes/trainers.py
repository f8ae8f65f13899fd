"""The libraries' trainer classes with the additions for distributed training (`distributed.trainer`)."""

from typing import Any

import transformers
import trl
from torch.utils.data import SequentialSampler
from transformers.trainer_utils import EvalLoopOutput

from tunewright_trainer.distributed.trainer import DistributedTrainerMixin


class SFTTrainer(DistributedTrainerMixin, trl.SFTTrainer):
    """For causal language models."""


class MeanLossMixin(DistributedTrainerMixin):
    """For models whose own forward returns the mean loss of its batch, such as classifiers.

    transformers 5.23 asks a model for its share of the loss of a whole step if its forward takes keyword arguments. These models take them,
    and ignore the number of items: the loss and its gradients were as many times too large as a step has batches on all ranks.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.model_accepts_loss_kwargs = False


class Seq2SeqTrainer(MeanLossMixin, transformers.Seq2SeqTrainer):
    """For encoder-decoders, whose evaluation may generate texts."""

    def evaluation_loop(self, *arguments: Any, **named: Any) -> EvalLoopOutput:
        """As transformers', but the rows that fill up the ranks' last batch do not count twice in a metric."""
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*arguments, **named)


class Trainer(MeanLossMixin, transformers.Trainer):
    """For models that read a whole text."""


class WindowTrainer(Trainer):
    """For rows that are windows over longer texts: they are evaluated in order, so that the windows of one text are found again."""

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        """As transformers', also where training groups rows by their length."""
        return SequentialSampler(eval_dataset)
