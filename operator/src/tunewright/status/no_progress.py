"""A running gang that makes no step: status reports it, and the gang continues.

The operator cannot distinguish a stuck gang from a slow one. training.ddpTimeout ends collectives that wait too long, which counts as a
failed attempt. Here only status reports it, and removes it with the next step.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tunewright.api.v1alpha1.status import ProgressStatus
from tunewright.observe.reasons import FailureReason
from tunewright.plan.inputs import Past, StageState
from tunewright.plan.plan_types import FineTunePlan
from tunewright_contract.reports import Failure
from tunewright_contract.stages import TRAIN


def with_no_progress(past: Past, plan: FineTunePlan, progress: ProgressStatus | None, *, now: datetime) -> Past:
    """Add the failure NoProgress to Train if it runs and has reported no step for `plan.progress_deadline_seconds`."""
    train = past.train
    times = (train.running_since, progress.step_time if progress else None)
    since = max((at for at in times if at is not None), default=None)
    if train.state is not StageState.RUNNING or train.failure is not None or not plan.progress_url or since is None:
        return past
    if now - since < timedelta(seconds=plan.progress_deadline_seconds):
        return past
    last = f"step {progress.reported_step}" if progress and progress.reported_step is not None else "the start of its pods"
    message = (
        f"no step since {last} at {since:%Y-%m-%dT%H:%M:%SZ}, longer than spec.progressDeadlineSeconds ({plan.progress_deadline_seconds})."
    )
    return past.with_outcome(TRAIN, replace(train, failure=Failure(reason=FailureReason.NO_PROGRESS.value, message=message)))
