"""Reasons that the operator derives from Kubernetes, for pods without a report of their own.

Reasons from reports stay unchanged. status/failures.py has a way out for each reason of this module.
"""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why a pod ended, or makes no progress."""

    OUT_OF_MEMORY = "OutOfMemory"
    PROCESS_FAILED = "ProcessFailed"
    STOPPED = "Stopped"
    DISRUPTED = "Disrupted"
    EVICTED = "Evicted"
    NODE_NOT_READY = "NodeNotReady"
    NODE_LOST = "NodeLost"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    JOB_FAILED = "JobFailed"
    IMAGE_PULL = "ImagePullBackOff"
    IMAGE_NAME = "InvalidImageName"
    CONTAINER_CONFIG = "CreateContainerConfigError"
    CONTAINER_CREATE = "CreateContainerError"
    CRASH_LOOP = "CrashLoopBackOff"
    UNSCHEDULABLE = "Unschedulable"
    VOLUME_UNBOUND = "VolumeNotBound"
    VOLUME = "VolumeNotMounted"
    VOLUME_BUSY = "VolumeInUse"
    SANDBOX = "SandboxNotCreated"
    INIT_CONTAINER = "InitContainerRuns"
    QUOTA = "QuotaExceeded"
    OUTSIDE_LIMITS = "PodOutsideLimits"
    POLICY = "RefusedByPolicy"
    SERVICE_ACCOUNT = "ServiceAccountMissing"
    PODS_REFUSED = "PodsRefused"
    REPORT_INVALID = "ReportInvalid"
    REPORT_MISSING = "ReportMissing"
    NO_PROGRESS = "NoProgress"
    NO_REPORTS = "NoReports"
    ROLLOUT_STUCK = "ProgressDeadlineExceeded"


OF_NODES = frozenset({FailureReason.NODE_NOT_READY, FailureReason.NODE_LOST})

# A container's waiting reason -> the operator's. Kubernetes alternates between some of these while it retries; a condition must not.
WAITING: dict[str, FailureReason] = {
    "ErrImagePull": FailureReason.IMAGE_PULL,
    "ImagePullBackOff": FailureReason.IMAGE_PULL,
    "ErrImageNeverPull": FailureReason.IMAGE_PULL,
    "InvalidImageName": FailureReason.IMAGE_NAME,
    "CreateContainerConfigError": FailureReason.CONTAINER_CONFIG,
    "CreateContainerError": FailureReason.CONTAINER_CREATE,
    "RunContainerError": FailureReason.CONTAINER_CREATE,
    "CrashLoopBackOff": FailureReason.CRASH_LOOP,
}
