"""Progress of training, from the reports of pods and the earlier status.

The operator computes the time left from steps and times of the current attempt, because the trainer also counts steps of earlier attempts.
All times are of the operator's clock: of the arrival of a report, and of the reconcile that first saw an attempt run. Clocks of pods, nodes
and the API server can differ from it by any amount.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from math import isfinite

from tunewright.api.v1alpha1.status import CheckpointStatus, ProgressStatus
from tunewright.observe.reasons import FailureReason
from tunewright.plan.inputs import Past, StageState, TrainOutcome
from tunewright.plan.plan_types import FineTunePlan
from tunewright.plan.storage import RUNS_FOLDER
from tunewright_contract import progress as words
from tunewright_contract.base import LARGEST_COUNT
from tunewright_contract.progress import ProgressReport
from tunewright_contract.reports import Failure
from tunewright_contract.stages import TRAIN

MOST_SECONDS_LEFT = 10**9  # 31 years: a longer estimate is meaningless, and status holds 64 bits
SKEW = timedelta(minutes=5)  # by which a pod's clock may be ahead of the operator's
_COUNTS = frozenset({words.STEP, words.MAX_STEPS, words.CHECKPOINT_STEP, words.RESUMED_FROM_STEP})
NOT_YET = 99  # per cent at most, until the Job itself has succeeded: an interrupted run may claim 100


def summarise_progress(
    report: ProgressReport | None, train: TrainOutcome, previous: ProgressStatus | None, *, same_attempt: bool, now: datetime
) -> ProgressStatus | None:
    """Return the progress of training. `same_attempt`: `previous` belongs to the running attempt."""
    if train.state is StageState.ABSENT:
        return previous
    posted = previous if report is None else _posted(report, previous, same_attempt=same_attempt, now=now)
    if train.state is not StageState.SUCCEEDED:
        return (
            posted
            if train.state is StageState.RUNNING or posted is None
            else posted.model_copy(update={"estimated_remaining_seconds": None})
        )
    done = posted or ProgressStatus()
    reached: dict[str, object] = {
        "progress_percentage": 100,
        "estimated_remaining_seconds": None,
        "since_step": None,
        "since_time": None,
        "reported_step": None,
        "step_time": None,
    }
    if train.report is not None:
        reached |= {"step": train.report.step, "max_steps": train.report.max_steps}
        if train.report.eval_loss is not None:
            reached["eval_loss"] = as_text(train.report.eval_loss)
    return done.model_copy(update=reached)


def summarise_checkpoint(
    report: ProgressReport | None, train: TrainOutcome, plan: FineTunePlan, previous: CheckpointStatus | None
) -> CheckpointStatus | None:
    """Return the newest reported checkpoint, or the result of a finished training."""
    numbers = _numbers(report)
    step = numbers.get(words.CHECKPOINT_STEP)
    resumed = numbers.get(words.RESUMED_FROM_STEP)
    if train.report is not None:
        step, resumed = train.report.step, train.report.resumed_from_step
    if step is None:
        return previous
    folder = f"checkpoints/checkpoint-{int(step)}" if train.report is None else "final"
    return CheckpointStatus(
        step=int(step),
        path=f"pvc://{plan.storage.output_claim}/{RUNS_FOLDER}/{plan.owner.name}/{plan.revision}/{folder}",
        resumed_from_step=None if resumed is None else int(resumed),
    )


def as_text(value: float) -> str:
    """Format a number for status, with six significant digits."""
    return f"{value:.6g}"


def _posted(report: ProgressReport, previous: ProgressStatus | None, *, same_attempt: bool, now: datetime) -> ProgressStatus:
    before = previous or ProgressStatus()
    numbers = _numbers(report)
    step = int(numbers.get(words.STEP, before.reported_step or 0))
    max_steps = int(numbers.get(words.MAX_STEPS, before.max_steps))
    at = _posted_at(report, now).replace(microsecond=0)
    since_step, since_time = before.since_step, before.since_time
    if not same_attempt or since_step is None or since_time is None or step < since_step:
        # The last report of an earlier attempt does not show the speed of the new one.
        since_step, since_time = (None, None) if at == before.last_updated_time else (step, at)
    repeated = same_attempt and step == before.reported_step
    return ProgressStatus(
        step=max(step, before.step),
        max_steps=max_steps,
        progress_percentage=max(before.progress_percentage, _percentage(report, step, max_steps)),
        estimated_remaining_seconds=_counted_down(before, at) if repeated else _seconds_left(step, max_steps, at, since_step, since_time),
        loss=_text(numbers, words.LOSS, before.loss),
        eval_loss=_text(numbers, words.EVAL_LOSS, before.eval_loss),
        learning_rate=_text(numbers, words.LEARNING_RATE, before.learning_rate),
        tokens_per_second=_text(numbers, words.TOKENS_PER_SECOND, before.tokens_per_second),
        last_updated_time=at,
        reported_step=step,
        step_time=before.step_time if repeated and before.step_time else at,
        since_step=since_step,
        since_time=since_time,
    )


def _posted_at(report: ProgressReport, now: datetime) -> datetime:
    """Return the time of a report. A time in the future would hide missing progress."""
    posted = report.trainer_status.last_updated_time
    return posted if posted is not None and posted <= now + SKEW else now


def _percentage(report: ProgressReport, step: int, max_steps: int) -> int:
    said = report.trainer_status.progress_percentage or 0
    return max(0, min(NOT_YET, 100 * step // max_steps if max_steps > 0 else said))


def _counted_down(before: ProgressStatus, at: datetime) -> int | None:
    """Return the earlier estimate, less the time that has passed, because between two logged steps there is nothing to measure."""
    if before.estimated_remaining_seconds is None or before.last_updated_time is None:
        return None
    left = before.estimated_remaining_seconds - round((at - before.last_updated_time).total_seconds())
    return max(0, min(left, MOST_SECONDS_LEFT))


def _seconds_left(step: int, max_steps: int, at: datetime, since_step: int | None, since_time: datetime | None) -> int | None:
    if since_step is None or since_time is None:
        return None
    seconds = (at - since_time).total_seconds()
    if step <= since_step or seconds <= 0 or max_steps < step:
        return None
    return min(round((max_steps - step) * seconds / (step - since_step)), MOST_SECONDS_LEFT)


def _numbers(report: ProgressReport | None) -> dict[str, float]:
    """Return the metrics that are finite numbers, and valid steps. Other programs can post any values."""
    found: dict[str, float] = {}
    for metric in report.trainer_status.metrics if report else ():
        try:
            value = float(metric.value)
        except ValueError:
            continue
        if isfinite(value) and (metric.name not in _COUNTS or 0 <= value <= LARGEST_COUNT):
            found[metric.name] = value
    return found


def _text(numbers: dict[str, float], name: str, before: str | None) -> str | None:
    return as_text(numbers[name]) if name in numbers else before


def since_running(train: TrainOutcome, previous: datetime | None, *, same_attempt: bool, now: datetime) -> datetime | None:
    """Return since when the operator has seen the running attempt run; None if none runs."""
    if train.state is not StageState.RUNNING:
        return None
    return previous if same_attempt and previous is not None else now.replace(microsecond=0)


def with_no_progress(past: Past, plan: FineTunePlan, progress: ProgressStatus | None, *, since: datetime | None, now: datetime) -> Past:
    """Add a failure to Train if it has run without a new step for `plan.progress_deadline_seconds`. `since`: it has run since then.

    NoReports: no report has arrived for that time, so training may continue unseen. NoProgress: reports arrive, without a new step. The
    operator cannot distinguish a stuck gang from a slow one, so the gang continues, and the next step removes the failure.
    training.ddpTimeout ends collectives that wait too long, which counts as a failed attempt.
    """
    train, deadline = past.train, timedelta(seconds=plan.progress_deadline_seconds)
    if train.failure is not None or not plan.progress_url or since is None:
        return past
    stepped, heard = (
        max(at for at in (since, reported) if at is not None)
        for reported in ((progress.step_time, progress.last_updated_time) if progress else (None, None))
    )
    if now - stepped < deadline:
        return past
    seconds = f"longer than spec.progressDeadlineSeconds ({plan.progress_deadline_seconds})"
    last = f"step {progress.reported_step}" if progress and progress.reported_step is not None else "the start of its pods"
    if now - heard < deadline:
        reason, message = FailureReason.NO_PROGRESS, f"reports arrive, but no step since {last} at {stepped:%Y-%m-%dT%H:%M:%SZ}, {seconds}."
    else:
        reason, message = FailureReason.NO_REPORTS, f"no progress report since {last} at {heard:%Y-%m-%dT%H:%M:%SZ}, {seconds}."
        message += " The pods run, so training may continue."
    return past.with_outcome(TRAIN, replace(train, failure=Failure(reason=reason.value, message=message)))
