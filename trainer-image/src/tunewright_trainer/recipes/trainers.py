"""The libraries' trainer classes with the additions for distributed training (`distributed.trainer`)."""

import transformers
import trl

from tunewright_trainer.distributed.trainer import DistributedTrainerMixin


class SFTTrainer(DistributedTrainerMixin, trl.SFTTrainer):
    """For causal language models."""


class Trainer(DistributedTrainerMixin, transformers.Trainer):
    """For models whose own forward computes the loss, such as classifiers."""
