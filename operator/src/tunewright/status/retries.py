"""Stages that run again, in status: retries that a user requests, and disruptions.

After a stage has failed for good, status says what it needs to run again, and why a retry has no effect. A disruption repeats a stage
without a limit: nodes that can be reclaimed at any time disrupt a long training often. So status counts them. The count is for people: no
decision reads it, and a lost one begins again.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from tunewright.api.v1alpha1.status import DisruptionsStatus, Phase, Reason
from tunewright.observe.reasons import FailureReason
from tunewright.plan.inputs import StageState
from tunewright.status.failures import AGAIN_AFTER_ROLLBACK, PLANNING
from tunewright.status.situation import Situation
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.stages import SERVE, Shape, Stage

OFTEN = 3  # from here on, a warning


def count_disruptions(situation: Situation, jobs: Mapping[Stage, str], before: DisruptionsStatus | None) -> DisruptionsStatus | None:
    """Return the count of the present stage. Each of the disrupted `jobs` (stage -> uid) counts once."""
    if situation.at is None:
        return None
    known = before if before is not None and before.stage == situation.at.component else None
    job = jobs.get(situation.at, "")
    if not job or (known is not None and known.last_job == job):
        return known
    return DisruptionsStatus(stage=situation.at.component, count=(known.count if known else 0) + 1, last_job=job)


def often_disrupted(situation: Situation, found: DisruptionsStatus | None) -> Iterator[str]:
    """Yield a warning for a stage that is disrupted again and again."""
    if found is not None and situation.at is not None and found.count >= OFTEN:
        way_out = "set spec.suspend to true until they stop" if situation.at.suspendable else "find what deletes its pods"
        yield f"{situation.at.name} was disrupted {found.count} times, and runs again each time without a limit; {way_out}"


_ANNOTATE = "set another value of the annotation tunewright.io/retry (`tunewright retry`)"
_TO_RETRY = f"To run the stage again, {_ANNOTATE}."
_SAME_INPUTS = (
    "A retry alone does not help: the same inputs give the same failure. "
    f"After a correction outside of the job's inputs (a file, a Secret, an image), {_ANNOTATE}. "
    "Other inputs need a job under another name."
)
# The operator derives these from a Job, and not from the end of a process.
_OF_JOBS: Mapping[str, str] = {
    FailureReason.DEADLINE_EXCEEDED: "",  # its way out runs the stage again
    FailureReason.JOB_FAILED: _TO_RETRY,
    FailureReason.REPORT_INVALID: _TO_RETRY,
    FailureReason.REPORT_MISSING: _TO_RETRY,
}
_BEGUN = frozenset({StageState.PENDING, StageState.RUNNING, StageState.SUSPENDED})


def to_continue(situation: Situation) -> str:
    """Return how the present stage runs again; empty if it has not failed for good, or if nothing can run again."""
    failure, at = situation.outcome.failure, situation.at
    if situation.rolled_back:
        return AGAIN_AFTER_ROLLBACK
    if at is None or failure is None or at.shape is Shape.SERVER or not situation.failed or situation.regressed:
        return ""
    if situation.outcome.disposition is not Disposition.RETRY:
        return _OF_JOBS.get(failure.reason, _SAME_INPUTS)
    if at.shape is Shape.POD:
        return f"All of its {at.retries + 1} attempts failed. {_TO_RETRY}"
    counted = situation.past.train.counted_failures
    return f"Failures that count: {counted}, more than spec.backoffLimit. To continue from the last checkpoint, raise it, or {_ANNOTATE}."


def without_effect(situation: Situation, retry: str) -> Iterator[str]:
    """Yield why the job's retry has no effect. A stage whose newest Job records it has used it."""
    at, outcome = situation.at, situation.outcome
    if not retry or any(situation.past[stage].retry == retry for stage in situation.wanted):
        return
    if at is None:
        why = "" if situation.serves else "every stage has succeeded"  # of a server, a retry that was used leaves no record
    elif situation.regressed:
        why = "the model is worse than its base, and another export is the same model"
    elif outcome.state is not StageState.FAILED:
        why = f"{at.name} has not failed. It is used once if that stage fails" if outcome.state in _BEGUN else ""
    elif situation.failed and not situation.rolled_back:
        why = "a change of the job is refused" if situation.plan.objection else "Kubernetes restarts the server's pods without it"
    else:
        why = ""
    if why:
        yield f"the annotation tunewright.io/retry has no effect: {why}"


def can_help(status: Mapping[str, Any]) -> bool:
    """Return whether a retry runs a stage again, by the stored status of a job."""
    failure, reason = status.get("failure") or {}, status.get("reason")
    if reason == Reason.ROLLED_BACK:
        return True
    has_failed = status.get("phase") == Phase.FAILED and failure.get("stage") not in {None, PLANNING, SERVE.component}
    return has_failed and reason != Reason.MODEL_REGRESSED
