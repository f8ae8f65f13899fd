"""Jobs, as kube-controller-manager's Job controller runs them (batch/v1): one decision from a Job and its pods. Pure.

Supported: completions, parallelism, Indexed and NonIndexed, backoffLimit, podFailurePolicy (FailJob, Ignore, Count), activeDeadlineSeconds,
suspend, podReplacementPolicy. Status and conditions have the order and texts of Kubernetes 1.31 and later.
Refused, never ignored: backoffLimitPerIndex, successPolicy, FailIndex.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tunewright.local.controllers import Decision, condition, is_active, is_ready, is_terminating, new_pod, phase, with_condition
from tunewright.local.store import Object, moment, timestamp
from tunewright.plan.label_names import COMPLETION_INDEX
from tunewright_runtime.errors import Invalid

RETRY_SECONDS = 1.0  # doubled with each counted failure; Kubernetes begins with 10, but here a user waits
LONGEST_RETRY_SECONDS = 360.0
EPOCH = moment("1970-01-01T00:00:00Z")


@dataclass(frozen=True)
class Verdict:
    """Why a Job has ended."""

    reason: str
    message: str


def check(job: Object) -> None:
    """Refuse fields that would be ignored. Raises Invalid."""
    spec = job["spec"]
    for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
        if spec.get(name) is not None:
            raise Invalid(f"Job {job['metadata']['name']}: {name} is not supported on this machine")
    if any(rule["action"] == "FailIndex" for rule in spec.get("podFailurePolicy", {}).get("rules", ())):
        raise Invalid(f"Job {job['metadata']['name']}: the action FailIndex is not supported on this machine")


def sync(job: Object, pods: Sequence[Object], *, now: datetime, suffix: Callable[[], str]) -> Decision:
    """Decide about a Job. `suffix` gives five random characters for a pod's name."""
    if is_finished(job):
        return Decision(job.get("status", {}), delete=[pod["metadata"]["name"] for pod in pods if is_active(pod)])
    spec, status = job["spec"], dict(job.get("status", {}))
    conditions = list(status.get("conditions", ()))
    suspended = bool(spec.get("suspend"))
    was_suspended = condition(job, "Suspended").get("status") == "True"
    if suspended:
        status.pop("startTime", None)
        suspension = {"type": "Suspended", "status": "True", "reason": "JobSuspended", "message": "Job suspended"}
        conditions = with_condition(conditions, suspension, now)
    elif was_suspended:
        conditions = with_condition(
            conditions, {"type": "Suspended", "status": "False", "reason": "JobResumed", "message": "Job resumed"}, now
        )
    if not suspended:
        status.setdefault("startTime", timestamp(now))

    counted, verdict = _failures(job, pods)
    active = [pod for pod in pods if is_active(pod)]
    terminating = [pod for pod in pods if is_terminating(pod)]
    done = _succeeded(job, pods)
    completions = spec.get("completions", 1)
    status |= {
        "active": len(active),
        "ready": sum(is_ready(pod) for pod in active),
        "terminating": len(terminating),
        "succeeded": len(done),
        "failed": sum(phase(pod) == "Failed" for pod in pods),
        "uncountedTerminatedPods": {},
    }
    if _is_indexed(job):
        status["completedIndexes"] = intervals(done)
    verdict = verdict or _over_limit(job, counted, status, now)
    ending = condition(job, "FailureTarget") or (verdict and {"reason": verdict.reason, "message": verdict.message})
    if ending:
        return _fail(status, conditions, ending=ending, active=active, terminating=terminating, now=now)
    if len(done) >= completions:
        return _complete(status, conditions, active, terminating, now)
    status["conditions"] = conditions
    if suspended:
        return Decision(_pruned(status | {"active": 0}), delete=[pod["metadata"]["name"] for pod in active])
    create = _missing(job, active=active, terminating=terminating, done=done, counted=counted, now=now, suffix=suffix)
    return Decision(_pruned(status | {"active": len(active) + len(create)}), create=create)


def is_finished(job: Object) -> bool:
    """Return whether the Job has completed or failed."""
    return any(condition(job, kind).get("status") == "True" for kind in ("Complete", "Failed"))


def _fail(
    status: dict[str, Any],
    conditions: list[dict[str, Any]],
    *,
    ending: Mapping[str, Any],
    active: Sequence[Object],
    terminating: Sequence[Object],
    now: datetime,
) -> Decision:
    """End the other pods first, then report Failed: a Job must not count as ended while one of its pods still writes."""
    why = {"status": "True", "reason": ending["reason"], "message": ending["message"]}
    conditions = with_condition(conditions, {"type": "FailureTarget", **why}, now)
    if not active and not terminating:
        conditions = with_condition(conditions, {"type": "Failed", **why}, now)
    status["conditions"] = conditions
    return Decision(_pruned(status), delete=[pod["metadata"]["name"] for pod in active])


def _complete(
    status: dict[str, Any], conditions: list[dict[str, Any]], active: Sequence[Object], terminating: Sequence[Object], now: datetime
) -> Decision:
    why = {"status": "True", "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
    conditions = with_condition(conditions, {"type": "SuccessCriteriaMet", **why}, now)
    if not active and not terminating:
        conditions = with_condition(conditions, {"type": "Complete", **why}, now)
        status["completionTime"] = timestamp(now)
    status["conditions"] = conditions
    return Decision(_pruned(status), delete=[pod["metadata"]["name"] for pod in active])


def _failures(job: Object, pods: Sequence[Object]) -> tuple[list[Object], Verdict | None]:
    """Return the failed pods that count against backoffLimit, and the verdict of a FailJob rule."""
    counted: list[Object] = []
    for pod in pods:
        if phase(pod) != "Failed":
            continue
        action, message = _judge(job, pod)
        if action == "FailJob":
            return counted, Verdict("PodFailurePolicy", message)
        if action == "Count":
            counted.append(pod)
    return counted, None


def _judge(job: Object, pod: Object) -> tuple[str, str]:
    """Apply the first matching rule of the Job's podFailurePolicy to a failed pod."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    entry: Object = next(iter(pod["status"].get("containerStatuses", ())), {})
    code = entry.get("state", {}).get("terminated", {}).get("exitCode")
    for number, rule in enumerate(job["spec"].get("podFailurePolicy", {}).get("rules", ())):
        if (on := rule.get("onExitCodes")) is not None and code:
            ours = on.get("containerName") in (None, entry["name"])
            if ours and (code in on["values"]) == (on["operator"] == "In"):
                where = f"Container {entry['name']} for pod {name} failed with exit code {code}"
                return rule["action"], f"{where} matching {rule['action']} rule at index {number}"
        for wanted in rule.get("onPodConditions", ()):
            if condition(pod, wanted["type"]).get("status") == wanted.get("status", "True"):
                return rule["action"], f"Pod {name} has condition {wanted['type']} matching {rule['action']} rule at index {number}"
    return "Count", ""


def _over_limit(job: Object, counted: Sequence[Object], status: Mapping[str, Any], now: datetime) -> Verdict | None:
    if len(counted) > job["spec"].get("backoffLimit", 6):
        return Verdict("BackoffLimitExceeded", "Job has reached the specified backoff limit")
    deadline = job["spec"].get("activeDeadlineSeconds")
    if deadline is not None and "startTime" in status and now >= moment(status["startTime"]) + timedelta(seconds=deadline):
        return Verdict("DeadlineExceeded", "Job was active longer than specified deadline")
    return None


def _succeeded(job: Object, pods: Sequence[Object]) -> set[int]:
    """Return the completed indexes; without indexes, a number for each succeeded pod."""
    done = [pod for pod in pods if phase(pod) == "Succeeded"]
    return {_index(pod) for pod in done} if _is_indexed(job) else set(range(len(done)))


def _missing(
    job: Object,
    *,
    active: Sequence[Object],
    terminating: Sequence[Object],
    done: set[int],
    counted: Sequence[Object],
    now: datetime,
    suffix: Callable[[], str],
) -> list[Object]:
    """Return the pods to create; none before the backoff after the last counted failure has passed."""
    spec = job["spec"]
    held = terminating if spec.get("podReplacementPolicy", "TerminatingOrFailed") == "Failed" else []
    completions = spec.get("completions", 1)
    room = min(spec.get("parallelism", 1), completions - len(done)) - len(active) - len(held)
    if room <= 0 or (counted and now < _retry_at(counted)):
        return []
    if not _is_indexed(job):
        return [_pod(job, None, suffix()) for _ in range(room)]
    busy = {_index(pod) for pod in [*active, *held]} | done
    free = [index for index in range(completions) if index not in busy]
    return [_pod(job, index, suffix()) for index in free[:room]]


def _retry_at(counted: Sequence[Object]) -> datetime:
    ended = [
        moment(entry["state"]["terminated"]["finishedAt"])
        for pod in counted
        for entry in pod["status"].get("containerStatuses", ())
        if "terminated" in entry.get("state", {})
    ]
    delay = min(RETRY_SECONDS * 2.0 ** min(len(counted) - 1, 32), LONGEST_RETRY_SECONDS)
    return max(ended, default=EPOCH) + timedelta(seconds=delay)


def _pod(job: Object, index: int | None, suffix: str) -> Object:
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    labels = {
        "batch.kubernetes.io/job-name": name,
        "job-name": name,
        "batch.kubernetes.io/controller-uid": uid,
        "controller-uid": uid,
    }
    if index is None:
        return new_pod(job, f"{name}-{suffix}", labels=labels)
    position = {COMPLETION_INDEX: str(index)}
    pod = new_pod(job, f"{name}-{index}-{suffix}", labels=labels | position, annotations=position, hostname=f"{name}-{index}")
    variable = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{COMPLETION_INDEX}']"}}}
    for container in pod["spec"]["containers"]:
        container["env"] = [variable, *(entry for entry in container.get("env", ()) if entry["name"] != variable["name"])]
    return pod


def _is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def _index(pod: Object) -> int:
    return int(pod["metadata"]["annotations"][COMPLETION_INDEX])


def intervals(indexes: set[int]) -> str:
    """Write indexes as Kubernetes does: `0-2,4`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][-1] == index - 1:
            runs[-1] = [runs[-1][0], index]
        else:
            runs.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _pruned(status: dict[str, Any]) -> dict[str, Any]:
    """Leave out counters of 0 and empty conditions, as the API server's `omitempty` does."""
    return {name: value for name, value in status.items() if value or name in ("ready", "terminating", "uncountedTerminatedPods")}
