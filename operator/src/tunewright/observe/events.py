"""Pod problems that only Events report: a Job whose pods are refused, a pod that is bound to a node and does not start.

The status of a Job has no field for a quota of zero, and that of a pod none for a volume that cannot be mounted. The rooms that read a
cluster fetch the Events of the children that `unexplained` returns, and add them to the children. This module maps the messages of the
kubelet and of the Job controller to the operator's reasons.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tunewright.observe.pod_refusals import reason_of_refusal
from tunewright.observe.pods import PodState
from tunewright.observe.raw import Raw, condition, moment, number, part, parts, text
from tunewright.observe.reasons import FailureReason
from tunewright_contract.reports import Failure

GRACE = timedelta(seconds=10)  # a healthy cluster creates pods and mounts their volumes within it
_AT_MOST = 3  # children of one job whose Events are read at a time: the Events of one pod explain its whole gang
_ENDING = ("Complete", "Failed", "SuccessCriteriaMet", "FailureTarget")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

# An Event's reason -> words in its message -> the operator's reason. The first match counts; the empty text matches everything.
_MEANINGS: Mapping[str, tuple[tuple[str, FailureReason], ...]] = {
    "FailedMount": (("", FailureReason.VOLUME),),
    "FailedAttachVolume": (("Multi-Attach error", FailureReason.VOLUME_BUSY), ("", FailureReason.VOLUME)),
    "FailedMapVolume": (("", FailureReason.VOLUME),),
    "FailedCreatePodSandBox": (("", FailureReason.SANDBOX),),
}


def unexplained(children: Iterable[Raw], now: datetime) -> Sequence[str]:
    """Return the uids of children that make no progress and whose status has no reason: the oldest first, at most three."""
    children = list(children)
    pods = Counter(owner for child in children if child.get("kind") == "Pod" and not _has_ended(child) for owner in _owners(child))
    found = [child for child in children if _makes_no_progress(child, pods) and _made(child, unknown=now) + GRACE <= now]
    return [text(child, "metadata", "uid") for child in sorted(found, key=_made)[:_AT_MOST]]


class PodProblem(NamedTuple):
    """The problem that Events report of an object, and the time of the last one."""

    at: datetime
    failure: Failure


def read_events(children: Iterable[Raw]) -> Mapping[str, PodProblem]:
    """Return a map from an object's uid to its newest problem."""
    newest: dict[str, PodProblem] = {}
    for event in children:
        if event.get("kind") != "Event" or (failure := _failure(event)) is None:
            continue
        about, at = text(event, "involvedObject", "uid"), _last_seen(event)
        if about not in newest or newest[about].at <= at:
            newest[about] = PodProblem(at, failure)
    return newest


def with_event(pod: PodState, raw: Raw, problems: Mapping[str, PodProblem]) -> PodState:
    """Add the problem that Events report to a pod that has not started and whose status has no reason."""
    problem = problems.get(text(raw, "metadata", "uid"))
    if problem is None or pod.failure is not None or pod.running or pod.ended is not None:
        return pod
    return replace(pod, failure=problem.failure.model_copy(update={"rank": pod.index}))


def problem_of_job(job: Raw, pods: Sequence[Raw], problems: Mapping[str, PodProblem]) -> Failure | None:
    """Return why a Job lacks pods, unless it has created some since that Event."""
    problem = problems.get(text(job, "metadata", "uid"))
    if problem is None or not _lacks_pods(job, sum(not _has_ended(pod) for pod in pods)):
        return None
    return problem.failure if all(_made(pod) <= problem.at for pod in pods) else None


def pods_refused(message: str) -> Failure:
    """Return why pods could not be created, with the controller's message."""
    return Failure(reason=reason_of_refusal(message).value, message=f"its pods are rejected: {message}")


def _failure(event: Raw) -> Failure | None:
    why, message = text(event, "reason"), text(event, "message")
    if why == "FailedCreate":
        return pods_refused(message)
    reason = next((reason for words, reason in _MEANINGS.get(why, ()) if words in message), None)
    if reason is None:
        return None
    return Failure(reason=reason.value, message=f"pod {text(event, 'involvedObject', 'name')}: {message}")


def _makes_no_progress(child: Raw, pods: Mapping[str, int]) -> bool:
    if child.get("kind") == "Job":
        held = part(child, "spec").get("suspend") is True or bool(number(child, "status", "terminating"))
        return not held and _lacks_pods(child, pods.get(text(child, "metadata", "uid"), 0))
    if child.get("kind") != "Pod" or text(child, "metadata", "deletionTimestamp") or text(child, "status", "phase") != "Pending":
        return False
    explained = [text(state, "state", "waiting", "reason") for state in parts(child, "status", "containerStatuses")]
    return bool(text(child, "spec", "nodeName")) and all(why in ("", "ContainerCreating", "PodInitializing") for why in explained)


def _lacks_pods(job: Raw, there: int) -> bool:
    """Return whether an unfinished Job has fewer pods than its parallelism."""
    if any(condition(job, kind) for kind in _ENDING):
        return False
    parallel, completions = (1 if (wanted := number(job, "spec", field)) is None else wanted for field in ("parallelism", "completions"))
    return there < min(parallel, completions - (number(job, "status", "succeeded") or 0))


def _has_ended(pod: Raw) -> bool:
    return text(pod, "status", "phase") in ("Succeeded", "Failed")


def _owners(child: Raw) -> Iterable[str]:
    return [text(reference, "uid") for reference in parts(child, "metadata", "ownerReferences")]


def _made(child: Raw, unknown: datetime = _LONG_AGO) -> datetime:
    return moment(child, "status", "startTime") or moment(child, "metadata", "creationTimestamp") or unknown


def _last_seen(event: Raw) -> datetime:
    times = (moment(event, "series", "lastObservedTime"), moment(event, "lastTimestamp"), moment(event, "eventTime"))
    return next((at for at in times if at is not None), _LONG_AGO)
