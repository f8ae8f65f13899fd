"""Requests that a job in a Kueue queue cannot make, because Kueue restarts each admitted Job of its queue.

After the export none of these rules applies.
"""

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.inputs import Past, StageState
from tunewright.plan.label_names import PARTIAL_ADMISSION, is_queued
from tunewright.plan.plan_types import Rejection
from tunewright.plan.resize import is_resized


def reject_resize_in_queue(job: FineTuneJob, past: Past) -> Rejection | None:
    """Reject another number of workers: Kueue would restart the gang that was stopped for it."""
    if not _applies(past) or not _is_queued(job, past) or not is_resized(job.spec, past.train):
        return None
    return Rejection(
        reason="HeldByQueue",
        field="spec.workers.replicas",
        message="Kueue would restart the Job that is stopped for a resize, and two gangs would write to one checkpoint; "
        f"set it back to {past.train.replicas}, or create a new job",
    )


def reject_partial_admission(job: FineTuneJob, past: Past) -> Rejection | None:
    """Reject a gang of which Kueue can start a part."""
    if not _applies(past) or PARTIAL_ADMISSION not in job.metadata.annotations:
        return None
    return Rejection(
        reason="GangIsWhole",
        field=f"metadata.annotations[{PARTIAL_ADMISSION}]",
        message="Kueue could start the gang with fewer workers, which would wait for the others until a timeout; remove the annotation",
    )


def reject_suspend_in_queue(job: FineTuneJob, past: Past) -> Rejection | None:
    """Reject suspending Jobs that Kueue would restart."""
    if not _applies(past) or not _is_queued(job, past) or not job.spec.suspend:
        return None
    return Rejection(
        reason="HeldByQueue",
        field="spec.suspend",
        message="true would stop Jobs that Kueue restarts; leave it false, and set spec.active: false on their Workloads instead",
    )


def _applies(past: Past) -> bool:
    return past.export.state is not StageState.SUCCEEDED


def _is_queued(job: FineTuneJob, past: Past) -> bool:
    return past.queued or is_queued(job.metadata.labels)
