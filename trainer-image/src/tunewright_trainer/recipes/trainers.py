"""The libraries' trainer classes with the additions for distributed training (`distributed.trainer`)."""

from typing import Any

import transformers
import trl
from torch.utils.data import SequentialSampler
from transformers.trainer_utils import EvalLoopOutput

from tunewright_trainer.distributed.trainer import DistributedTrainerMixin


class SFTTrainer(DistributedTrainerMixin, trl.SFTTrainer):
    """For causal language models."""


class Seq2SeqTrainer(DistributedTrainerMixin, transformers.Seq2SeqTrainer):
    """For encoder-decoders, whose evaluation may generate texts."""

    def evaluation_loop(self, *arguments: Any, **named: Any) -> EvalLoopOutput:
        """As transformers', but the rows that fill up the ranks' last batch do not count twice in a metric."""
        self.gather_function = self.accelerator.gather_for_metrics
        return super().evaluation_loop(*arguments, **named)


class Trainer(DistributedTrainerMixin, transformers.Trainer):
    """For models whose own forward computes the loss, such as classifiers."""


class WindowTrainer(Trainer):
    """For rows that are windows over longer texts: they are evaluated in order, so that the windows of one text are found again."""

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        """As transformers', also where training groups rows by their length."""
        return SequentialSampler(eval_dataset)
