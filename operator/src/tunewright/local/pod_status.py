"""A Pod's status, written as the kubelet writes it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tunewright.local.container import Ended, Running
from tunewright.local.network import LOOPBACK
from tunewright.local.store import timestamp

DISRUPTED = "DisruptionTarget"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The container does not run; `reason` is why."""

    reason: str  # ContainerCreating, CreateContainerConfigError, CrashLoopBackOff
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class ContainerStatus:
    """The state of a pod's one container."""

    state: Waiting | Running | Ended
    last: Ended | None = None  # the run before
    restarts: int = 0
    started: bool = False
    ready: bool = False
    message: str = ""  # the container's termination message
    final: bool = False  # it will not restart
    disrupted: str = ""  # the reason of the condition DisruptionTarget


def pod_status(pod: Mapping[str, Any], known: ContainerStatus, now: datetime) -> dict[str, Any]:
    """Return the status of a pod."""
    (container,) = pod["spec"]["containers"]
    before = pod.get("status", {})
    phase = _phase(known)
    running = isinstance(known.state, Running)
    entry: dict[str, Any] = {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "ready": running and known.ready,
        "started": running and known.started,
        "restartCount": known.restarts,
        "state": _state(known.state, known.message),
        "lastState": {} if known.last is None else _state(known.last, "" if isinstance(known.state, Ended) else known.message),
    }
    status: dict[str, Any] = {
        "phase": phase,
        "hostIP": LOOPBACK,
        "podIP": LOOPBACK,
        "startTime": before.get("startTime") or timestamp(now),
        "containerStatuses": [entry],
        "conditions": _conditions(before.get("conditions", ()), known, phase, now),
    }
    if known.disrupted and phase == "Failed":
        status |= {"reason": "Terminated", "message": known.disrupted}
    return status


def _phase(known: ContainerStatus) -> str:
    if known.final and isinstance(known.state, Ended):
        return "Succeeded" if known.state.exit_code == 0 else "Failed"
    if known.final:
        return "Failed"  # stopped before it ran
    return "Pending" if isinstance(known.state, Waiting) and known.last is None else "Running"


def _state(state: Waiting | Running | Ended, message: str) -> dict[str, Any]:
    match state:
        case Waiting(reason=reason, message=why):
            return {"waiting": {"reason": reason, **({"message": why} if why else {})}}
        case Running(started_at=started):
            return {"running": {"startedAt": _time(started)}} if started else {"waiting": {"reason": "ContainerCreating"}}
    ended: dict[str, Any] = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "startedAt": _time(state.started_at),
        "finishedAt": _time(state.finished_at),
    }
    return {"terminated": ended | ({"message": message} if message else {})}


def _conditions(before: Any, known: ContainerStatus, phase: str, now: datetime) -> list[dict[str, Any]]:
    ready = isinstance(known.state, Running) and known.ready
    over = phase in ("Succeeded", "Failed")
    because = "PodCompleted" if over else "ContainersNotReady"
    wanted = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "ContainersReady", "status": str(ready), **({} if ready else {"reason": because})},
        {"type": "Ready", "status": str(ready), **({} if ready else {"reason": because})},
    ]
    if known.disrupted:
        wanted.append({"type": DISRUPTED, "status": "True", "reason": "TerminationByKubelet", "message": known.disrupted})
    return [with_transition(condition, before, now) for condition in wanted]


def with_transition(condition: dict[str, Any], before: Any, now: datetime) -> dict[str, Any]:
    """Add the transition time to a condition: the time of the last change of its status."""
    old = next((item for item in before if item["type"] == condition["type"]), None)
    kept = old is not None and old["status"] == condition["status"]
    return condition | {"lastTransitionTime": old["lastTransitionTime"] if old is not None and kept else timestamp(now)}


def _time(seconds: float) -> str:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
