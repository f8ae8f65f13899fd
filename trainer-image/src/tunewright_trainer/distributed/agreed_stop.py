# ruff: noqa: ARG002 - the arguments of a callback are what transformers passes
"""A coordinated stop of the whole gang.

Promises that after a signal to any rank, all ranks stop after the same step and save together. If one rank left alone, the others would
wait in a collective for ever.
"""

import logging

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tunewright_trainer.common.signals import StopRequest
from tunewright_trainer.distributed import process_group

log = logging.getLogger(__name__)


class EvaluationLeft(Exception):  # noqa: N818 - not an error: a stop signal came during evaluation
    """Every rank leaves the evaluation here, together."""


class AgreedStop(TrainerCallback):
    """Asks every rank after every step whether to stop. One number is reduced: microseconds beside a step."""

    def __init__(self, request: StopRequest) -> None:
        self._request = request
        self.stopped = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """After the last step there is nothing to stop: the run is then let through to its end."""
        if process_group.any_rank(self._request.asked) and state.global_step < state.max_steps:
            log.warning("stopping after step %d", state.global_step)
            self.stopped = True
            control.should_save = True  # also under saveStrategy "no", which is about the run's habit: this one would be lost whole
            control.should_evaluate = False
            control.should_training_stop = True
        return control

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> TrainerControl:
        """The loop takes leaving it for the end of an epoch, and would evaluate and save once more."""
        if self.stopped:
            control.should_save = control.should_evaluate = control.should_log = False
        return control

    def on_prediction_step(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """An evaluation may outlast the grace period."""
        if process_group.any_rank(self._request.asked):
            self.stopped = True
            raise EvaluationLeft
