"""Reads one pod with everything that explains why it makes no progress: its status, its init containers, its Events, its node.

A webhook may have added init containers, which keep a pod's own container from starting. The operator renders none of its own. The kubelet
starts init containers in order. Those that have not started wait with `PodInitializing`, as the pod's own container does. A native sidecar
is an init container that keeps running: the condition `Initialized` shows that nothing waits for it any more.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from tunewright.observe.disruptions import with_node
from tunewright.observe.events import GRACE, PodProblem, with_event
from tunewright.observe.pods import PodState, read_pod
from tunewright.observe.raw import Raw, moment, number, part, parts, text
from tunewright.observe.reasons import WAITING, FailureReason
from tunewright_contract.reports import Failure


def with_init_container(pod: PodState, raw: Raw, now: datetime | None) -> PodState:
    """Name the init container that a pod waits for, or with which it failed. Without `now`, none has run for long."""
    if pod.exit_code is None and pod.failure is not None and pod.failure.reason == FailureReason.PROCESS_FAILED:
        return _because(pod, FailureReason.PROCESS_FAILED, failed) if (failed := _failed(raw)) else pod
    if pod.failure is not None or not _is_initializing(raw):
        return pod
    return _blocked(pod, raw, now)


def _blocked(pod: PodState, raw: Raw, now: datetime | None) -> PodState:
    started = [status for status in parts(raw, "status", "initContainerStatuses") if _has_started(status)]
    if not started:
        return pod
    name, state = text(started[-1], "name"), part(started[-1], "state")
    if (reason := WAITING.get(text(state, "waiting", "reason"))) is not None:
        return _because(pod, reason, f"init container {name}: {text(state, 'waiting', 'message') or 'no reason was given'}")
    since = moment(state, "running", "startedAt")
    if since is None or now is None or now < since + GRACE:
        return pod
    at = since.isoformat(timespec="seconds").replace("+00:00", "Z")
    return _because(pod, FailureReason.INIT_CONTAINER, f"init container {name} runs since {at}, and the stage's container waits for it")


def _failed(raw: Raw) -> str:
    for status in parts(raw, "status", "initContainerStatuses"):
        if code := number(status, "state", "terminated", "exitCode"):
            return f"init container {text(status, 'name')} ended with exit code {code}"
    return ""


def _is_initializing(raw: Raw) -> bool:
    states = {text(found, "type"): text(found, "status") for found in parts(raw, "status", "conditions")}
    return states.get("Initialized") == "False" and not text(raw, "metadata", "deletionTimestamp")


def _has_started(status: Raw) -> bool:
    waiting = part(status, "state", "waiting")
    return bool(part(status, "state")) and text(waiting, "reason") != "PodInitializing"


def _because(pod: PodState, reason: FailureReason, message: str) -> PodState:
    return replace(pod, failure=Failure(reason=reason.value, message=f"pod {pod.name}: {message}", rank=pod.index))


def read_explained(raw: Raw, problems: Mapping[str, PodProblem], now: datetime | None) -> PodState:
    """Read one pod. `problems` are those that Events report, by the uid of the object. A pod whose init containers run has its volumes."""
    return with_node(with_event(with_init_container(read_pod(raw), raw, now), raw, problems), raw, now)
