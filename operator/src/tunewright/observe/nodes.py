"""Pods whose node does not answer, or that the cluster is removing: read from the pod alone, because the operator may not read nodes.

- The node controller sets `Ready` to false and leaves `ContainersReady`, which only the kubelet writes. The kubelet itself sets the two
  apart only for readiness gates.
- A pod is gone only after its kubelet confirms that its containers have ended. If it is still there after its grace period, the node
  does not confirm.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from tunewright.observe.pods import PodState
from tunewright.observe.raw import Raw, condition, moment, parts, text
from tunewright.observe.reasons import FailureReason
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
