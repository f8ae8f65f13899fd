"""Deployments, as kube-controller-manager runs them (apps/v1): one decision from a Deployment and its pods. Pure.

`pod-template-hash` identifies the pods of a template, as in a ReplicaSet; there is no ReplicaSet. New pods start before old ones drain: old
pods end only while enough others are available. Supported: replicas, both strategies, maxSurge, maxUnavailable,
minReadySeconds, progressDeadlineSeconds. `revisionHistoryLimit` has no effect.
"""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from math import ceil, floor
from typing import Any

from tunewright.local.controllers import Decision, condition, is_active, is_ready, is_terminating, new_pod, phase, with_condition
from tunewright.local.store import Object, moment, timestamp

HASH = "pod-template-hash"
COUNTS = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")


def sync(deployment: Object, pods: Sequence[Object], *, now: datetime, suffix: Callable[[], str]) -> Decision:
    """Decide about a Deployment. `suffix` gives five random characters for a pod's name."""
    spec = deployment["spec"]
    wanted = spec.get("replicas", 1)
    current = template_hash(deployment)
    active = [pod for pod in pods if is_active(pod)]
    new = [pod for pod in active if pod["metadata"]["labels"].get(HASH) == current]
    old = [pod for pod in active if pod["metadata"]["labels"].get(HASH) != current]
    available = [pod for pod in active if is_available(pod, spec.get("minReadySeconds", 0), now)]
    surge, unavailable = limits(spec, wanted)
    recreate = spec.get("strategy", {}).get("type") == "Recreate"

    room = min(wanted - len(new), wanted + surge - len(active))
    if recreate:
        room = 0 if old or any(is_terminating(pod) for pod in pods) else wanted - len(new)
    create = [
        new_pod(deployment, f"{deployment['metadata']['name']}-{current}-{suffix()}", labels={HASH: current}) for _ in range(max(room, 0))
    ]
    superfluous = sorted(new, key=lambda pod: (pod in available, pod["metadata"]["creationTimestamp"]))[: max(len(new) - wanted, 0)]
    leaving = old if recreate else _old_to_remove(old, available, len(available) - (wanted - unavailable))
    over = [pod for pod in pods if phase(pod) in ("Succeeded", "Failed") and "deletionTimestamp" not in pod["metadata"]]
    return Decision(
        _status(deployment, active=active, new=new, available=available, wanted=wanted, unavailable=unavailable, now=now),
        create=create,
        delete=[pod["metadata"]["name"] for pod in [*superfluous, *leaving, *over]],
    )


def template_hash(deployment: Object) -> str:
    """Return a short name for a Deployment's pod template."""
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:10]


def limits(spec: Object, wanted: int) -> tuple[int, int]:
    """Return how many pods a rollout may add, and how many may be unavailable. Percentages round up for surge and down for unavailable."""
    rolling = spec.get("strategy", {}).get("rollingUpdate", {})
    surge = _count(rolling.get("maxSurge", "25%"), wanted, ceil)
    unavailable = _count(rolling.get("maxUnavailable", "25%"), wanted, floor)
    return (surge, unavailable) if surge or unavailable else (0, 1)  # as in Kubernetes: with both 0 a rollout could never proceed


def is_available(pod: Object, min_ready_seconds: int, now: datetime) -> bool:
    """Return whether a pod has been ready for long enough."""
    return is_ready(pod) and now >= moment(condition(pod, "Ready")["lastTransitionTime"]) + timedelta(seconds=min_ready_seconds)


def _count(value: int | str, wanted: int, rounding: Callable[[float], int]) -> int:
    return value if isinstance(value, int) else rounding(wanted * int(value.rstrip("%")) / 100)


def _old_to_remove(old: Sequence[Object], available: Sequence[Object], spare: int) -> list[Object]:
    """Return old pods to end: all that are not ready, and of the others as many as `maxUnavailable` allows.

    Kubernetes also ends at once old pods that are ready and not yet *available*; but a ready pod may be answering a request.
    """
    idle = [pod for pod in old if not is_ready(pod)]
    serving = sorted((pod for pod in old if is_ready(pod)), key=lambda pod: pod in available)
    return [*idle, *serving[: max(spare, 0)]]


def _status(
    deployment: Object,
    *,
    active: Sequence[Object],
    new: Sequence[Object],
    available: Sequence[Object],
    wanted: int,
    unavailable: int,
    now: datetime,
) -> dict[str, Any]:
    before = deployment.get("status", {})
    counts = {
        "replicas": len(active),
        "updatedReplicas": len(new),
        "readyReplicas": sum(is_ready(pod) for pod in active),
        "availableReplicas": len(available),
        "unavailableReplicas": max(wanted - len(available), 0),
    }
    enough = len(available) >= wanted - unavailable
    conditions = with_condition(
        before.get("conditions", ()),
        {
            "type": "Available",
            "status": str(enough),
            "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
            "message": "Deployment has minimum availability." if enough else "Deployment does not have minimum availability.",
        },
        now,
    )
    complete = len(new) == len(active) == wanted and len(available) >= wanted
    # A template that was complete once stays complete: later failures of its pods do not belong to the rollout.
    complete = complete or (len(new) == len(active) and condition(deployment, "Progressing").get("message") == _completed(deployment))
    moved = (
        any(counts[name] != before.get(name, 0) for name in COUNTS)
        or before.get("observedGeneration") != deployment["metadata"]["generation"]
    )
    conditions = with_condition(conditions, _progressing(deployment, complete=complete, moved=moved, now=now), now)
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        **{name: count for name, count in counts.items() if count},
        "conditions": conditions,
    }


def _completed(deployment: Object) -> str:
    return f'ReplicaSet "{deployment["metadata"]["name"]}-{template_hash(deployment)}" has successfully progressed.'


def _progressing(deployment: Object, *, complete: bool, moved: bool, now: datetime) -> dict[str, Any]:
    name = deployment["metadata"]["name"]
    before = condition(deployment, "Progressing")
    if complete:
        return {
            "type": "Progressing",
            "status": "True",
            "reason": "NewReplicaSetAvailable",
            "message": _completed(deployment),
            "lastUpdateTime": before["lastUpdateTime"] if before.get("reason") == "NewReplicaSetAvailable" else timestamp(now),
        }
    since = timestamp(now) if moved or not before else before["lastUpdateTime"]
    if now > moment(since) + timedelta(seconds=deployment["spec"].get("progressDeadlineSeconds", 600)):
        message = f'Deployment "{name}" has timed out progressing.'
        return {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": message, "lastUpdateTime": since}
    message = f'Deployment "{name}" is progressing.'
    return {"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": message, "lastUpdateTime": since}
