"""What each reason means to people and tools: whether its Event is a Warning, and which condition of kstatus is true beside it.

`Stalled` means that the job does not continue until a person changes something. What can heal by itself is `Reconciling`: capacity that
becomes free, an object that another controller creates, a node or a registry that answers again. A reason without a row is one that a
pod reported, and is a fault.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from tunewright.api.v1alpha1.status import Reason
from tunewright.observe.reasons import FailureReason
from tunewright.status.failures import HELD, REFUSALS


class Outlook(StrEnum):
    """How a job with this reason continues."""

    SETTLED = "–"  # neither condition is true
    HEALS = "Reconciling"
    STALLED = "Stalled"
    RETRIED = "Reconciling while attempts are left, then Stalled"  # of a stage that ended


class Meaning(NamedTuple):
    """One row."""

    fault: bool  # its Event is a Warning
    outlook: Outlook


_NORMAL_SETTLED, _NORMAL_HEALS = Meaning(False, Outlook.SETTLED), Meaning(False, Outlook.HEALS)
_HEALS, _STALLED, _RETRIED = (Meaning(True, outlook) for outlook in (Outlook.HEALS, Outlook.STALLED, Outlook.RETRIED))

REASONS: Mapping[str, Meaning] = {
    Reason.PENDING: _NORMAL_HEALS,
    Reason.RUNNING: _NORMAL_HEALS,
    Reason.QUEUED: _NORMAL_HEALS,
    Reason.EVICTING: _NORMAL_HEALS,
    Reason.SUSPENDING: _NORMAL_HEALS,
    Reason.RESIZING: _NORMAL_HEALS,
    FailureReason.STOPPED: _NORMAL_HEALS,  # by spec.suspend, a resize or a queue
    Reason.SUSPENDED: _NORMAL_SETTLED,
    Reason.SUCCEEDED: _NORMAL_SETTLED,
    Reason.NOT_WANTED: _NORMAL_SETTLED,
    Reason.SERVING: _NORMAL_SETTLED,
    Reason.COMPLETE: _NORMAL_SETTLED,
    Reason.REGRESSION_ALLOWED: _NORMAL_SETTLED,
    Reason.WRITE_ALTERED: Meaning(True, Outlook.SETTLED),  # a condition of its own, beside the state of the job
    Reason.RETRYING: _HEALS,
    FailureReason.DISRUPTED: _HEALS,
    FailureReason.NODE_NOT_READY: _HEALS,
    FailureReason.NODE_LOST: _HEALS,
    FailureReason.UNSCHEDULABLE: _HEALS,
    FailureReason.QUOTA: _HEALS,
    FailureReason.OUTSIDE_LIMITS: _STALLED,
    FailureReason.PODS_REFUSED: _HEALS,
    FailureReason.SERVICE_ACCOUNT: _HEALS,
    FailureReason.IMAGE_PULL: _HEALS,
    FailureReason.CONTAINER_CONFIG: _HEALS,
    FailureReason.CONTAINER_CREATE: _HEALS,
    FailureReason.SANDBOX: _HEALS,
    FailureReason.INIT_CONTAINER: _HEALS,
    FailureReason.VOLUME_UNBOUND: _HEALS,
    FailureReason.VOLUME: _HEALS,
    FailureReason.VOLUME_BUSY: _HEALS,
    FailureReason.NO_PROGRESS: _HEALS,
    FailureReason.NO_REPORTS: _HEALS,
    Reason.REFERENCE_MISSING: _HEALS,
    Reason.OPERATOR_FORBIDDEN: _HEALS,
    Reason.OPERATOR_FAILED: _HEALS,
    FailureReason.OUT_OF_MEMORY: _RETRIED,
    FailureReason.PROCESS_FAILED: _RETRIED,
    FailureReason.EVICTED: _RETRIED,
    FailureReason.JOB_FAILED: _RETRIED,
    FailureReason.REPORT_MISSING: _RETRIED,
    FailureReason.CRASH_LOOP: _RETRIED,
    Reason.FAILED: _STALLED,
    Reason.BACKOFF_LIMIT_EXCEEDED: _STALLED,
    FailureReason.DEADLINE_EXCEEDED: _STALLED,
    FailureReason.ROLLOUT_STUCK: _STALLED,
    FailureReason.REPORT_INVALID: _STALLED,
    FailureReason.IMAGE_NAME: _STALLED,
    FailureReason.POLICY: _STALLED,
    Reason.INVALID_SPEC: _STALLED,
    Reason.PLAN_REJECTED: _STALLED,
    Reason.ROLLED_BACK: _STALLED,
    Reason.MODEL_REGRESSED: _STALLED,
    **{reason: _STALLED if refused.stalled else _HEALS for reason, refused in {**REFUSALS, **HELD}.items()},
}


def is_fault(reason: str) -> bool:
    """Return whether a reason's Event is a Warning."""
    return REASONS.get(reason, _STALLED).fault


def heals(reason: str) -> bool:
    """Return whether a stage with this reason can continue without a change by a person."""
    return REASONS.get(reason, _STALLED).outlook is Outlook.HEALS


def needs_change(reason: str) -> bool:
    """Return whether a stage that waits for this reason continues only when a person changes something."""
    return reason in REASONS and REASONS[reason].outlook is Outlook.STALLED
