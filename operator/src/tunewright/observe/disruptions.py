"""Pods whose node is lost, and pods that are deleted from outside: by a person, or by a program other than the Job controller.

Neither is a failure. Both are read from pods and Jobs alone, because the operator may not read nodes.

- The node controller sets `Ready` to false and leaves `ContainersReady`, which only the kubelet writes. The kubelet itself sets the two
  apart only for readiness gates.
- A pod is gone only after its kubelet confirms that its containers have ended. If it is still there after its grace period, the node
  does not confirm.
- The Job controller deletes pods of a Job that is suspended, deleted, ended or failing. A gang fails only after one of its pods has failed,
  and that pod stays. So a pod in deletion was deleted from outside if none of these is the case, and `deletion_of` returns the record of it
  for the Job's annotation: the pod itself disappears. A failed Job whose failed pods have all been deleted needs no record.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tunewright.observe.pods import SECONDARY, PodState
from tunewright.observe.raw import Raw, condition, moment, number, part, parts, text
from tunewright.observe.reasons import FailureReason
from tunewright.plan import label_names
from tunewright_contract.exit_codes import Disposition
from tunewright_contract.reports import Failure

CONFIRMED_WITHIN = timedelta(seconds=20)  # after the grace period, a kubelet that answers reports the end of a pod within it


def with_node(pod: PodState, raw: Raw, now: datetime | None) -> PodState:
    """Add what a pod shows of its node, unless it has ended or another problem is known. Without `now`, no deadline has passed."""
    if pod.failure is not None or pod.succeeded or not text(raw, "spec", "nodeName"):
        return pod
    problem = _problem(raw, now)
    if problem is None:
        return pod
    reason, message = problem
    return replace(pod, failure=Failure(reason=reason.value, message=message, rank=pod.index))


def _problem(raw: Raw, now: datetime | None) -> tuple[FailureReason, str] | None:
    pod, node = f"pod {text(raw, 'metadata', 'name')}", f"node {text(raw, 'spec', 'nodeName')}"
    until = moment(raw, "metadata", "deletionTimestamp")
    if until and now and until + CONFIRMED_WITHIN < now:
        ended = until.isoformat(timespec="seconds").replace("+00:00", "Z")
        return FailureReason.NODE_LOST, f"{pod} was to end by {ended}, and {node} does not confirm that it has ended"
    if _is_not_ready(raw):
        return FailureReason.NODE_NOT_READY, f"{node} of {pod} is not ready: its kubelet no longer reports"
    if disrupted := condition(raw, "DisruptionTarget"):
        why = text(disrupted, "message") or text(disrupted, "reason") or "its node was needed for other pods"
        return FailureReason.DISRUPTED, f"{pod} is being removed from {node}: {why}"
    return None


def _is_not_ready(raw: Raw) -> bool:
    states = {text(found, "type"): text(found, "status") for found in parts(raw, "status", "conditions")}
    apart = states.get("ContainersReady") == "True" and states.get("Ready") == "False"
    return apart and not parts(raw, "spec", "readinessGates")


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
