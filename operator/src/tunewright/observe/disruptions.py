"""Pods that are deleted from outside: by a person, or by a program other than the Job controller. They are no failures.

The Job controller deletes pods of a Job that is suspended, deleted, ended or failing. A gang fails only after one of its pods has failed,
and that pod stays. So a pod in deletion was deleted from outside if none of these is the case, and `deletion_of` returns the record of it
for the Job's annotation: the pod itself disappears. A failed Job whose failed pods have all been deleted needs no record.
"""

from collections.abc import Sequence
from dataclasses import replace

from tunewright.observe.pods import SECONDARY, PodState
from tunewright.observe.raw import Raw, condition, number, part, text
from tunewright.observe.reasons import FailureReason
from tunewright.plan import label_names
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure

_ENDING = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget", "Suspended")


def deletion_of(job: Raw, pods: Sequence[PodState], *, gang: bool) -> str:
    """Return which pod of a Job was deleted from outside: the Job's own record, or a new one; empty if there is none."""
    known = text(job, "metadata", "annotations", label_names.DISRUPTED)
    if known or _is_ending(job) or (gang and any(_failed(pod) and not pod.deleted for pod in pods)):
        return known
    return next((f"pod {pod.name} was deleted" for pod in pods if pod.deleted and not pod.succeeded and not _is_disrupted(pod)), "")


def read_deleted(pod: PodState, deletion: str) -> PodState:
    """Return a deleted pod as disrupted, however it ended, unless it reports a failure that no retry can fix."""
    if not deletion or not pod.deleted or pod.disposition not in (Disposition.RETRY, Disposition.RESUME) or _is_disrupted(pod):
        return pod
    failure = _disrupted(f"pod {pod.name} was deleted")
    return replace(pod, failure=failure.model_copy(update={"rank": pod.index}), disposition=Disposition.RESUME, weight=SECONDARY)


def excused(job: Raw, pods: Sequence[PodState], deletion: str, *, gang: bool) -> tuple[Failure | None, PodState | None]:
    """Return the disruption without which a failed Job would have attempts left, and its pod if it is still there."""
    failed = [pod for pod in pods if _failed(pod)]
    own = [pod for pod in failed if pod.disposition is Disposition.RETRY and not pod.deleted and not (gang and pod.weight == SECONDARY)]
    if any(pod.disposition is Disposition.FAIL for pod in failed) or len(own) > (number(job, "spec", "backoffLimit") or 0):
        return None, None
    if shown := next(filter(_is_disrupted, failed), None):
        return shown.failure, shown
    if deletion:
        return _disrupted(deletion), None
    remains = any(not pod.deleted for pod in failed) or bool(condition(job, "Suspended"))
    return None if remains else _disrupted("the pods that failed were deleted"), None


def _disrupted(message: str) -> Failure:
    return Failure(reason=FailureReason.DISRUPTED.value, message=message)


def _is_ending(job: Raw) -> bool:
    held = part(job, "spec").get("suspend") is True or text(job, "metadata", "deletionTimestamp")
    ended = text(job, "metadata", "annotations", label_names.ENDED)
    return bool(held or ended) or any(condition(job, kind) for kind in _ENDING)


def _failed(pod: PodState) -> bool:
    return pod.disposition is not None


def _is_disrupted(pod: PodState) -> bool:
    return pod.failure is not None and pod.failure.reason == FailureReason.DISRUPTED
