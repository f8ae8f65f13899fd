# ruff: noqa: ARG002 - transformers defines the arguments of a callback
"""A coordinated stop of the whole gang.

Promises that after a signal to any rank, all ranks stop after the same step and save together. If one rank stopped alone, the others would
wait in a collective without end.
"""

import logging

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.distributed import process_group

log = logging.getLogger(__name__)


class EvaluationLeft(Exception):  # noqa: N818 - not an error: a stop signal came during evaluation
    """Ends the evaluation on every rank together."""


class AgreedStop(TrainerCallback):
    """After every step, checks whether any rank got a signal. This reduces one number, which takes microseconds."""

    def __init__(self, request: StopRequest) -> None:
        self._request = request
        self.stopped = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """Stop after this step if a rank got a signal. After the last step, the run continues to its end."""
        if process_group.any_rank(self._request.asked) and state.global_step < state.max_steps:
            log.warning("stopping after step %d", state.global_step)
            self.stopped = True
            control.should_save = True  # also under saveStrategy "no", because the whole run would be lost otherwise
            control.should_evaluate = False
            control.should_training_stop = True
        return control

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """Prevent a second evaluation and save: the loop treats a stop as the end of an epoch."""
        if self.stopped:
            control.should_save = control.should_evaluate = control.should_log = False
        return control

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Stop an evaluation too, because it can take longer than the grace period."""
        if process_group.any_rank(self._request.asked):
            self.stopped = True
            raise EvaluationLeft
