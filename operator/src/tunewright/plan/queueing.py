"""Changes that a job in a Kueue queue may not make: Kueue starts every admitted Job of its queue again."""

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.errors import PlanRejected
from tunewright.plan.inputs import Past, StageState
from tunewright.plan.label_names import PARTIAL_ADMISSION, is_queued
from tunewright.plan.resize import is_resized


def refuse_in_queue(job: FineTuneJob, past: Past) -> None:
    """Refuse to stop a gang that Kueue would start again, and one that may be started in part. Raises `PlanRejected`.

    When the model is written, none of it means anything any more.
    """
    if past.export.state is StageState.SUCCEEDED:
        return
    queued = past.queued or is_queued(job.metadata.labels)
    if queued and is_resized(job.spec, past.train):
        raise PlanRejected(
            reason="HeldByQueue",
            field="spec.workers.replicas",
            message="Kueue starts a Job of its queue again that is stopped for another size, and two gangs would write one checkpoint; "
            f"set it back to {past.train.replicas}, or begin a new job",
        )
    if PARTIAL_ADMISSION in job.metadata.annotations:
        raise PlanRejected(
            reason="GangIsWhole",
            field=f"metadata.annotations[{PARTIAL_ADMISSION}]",
            message="Kueue may start the gang with fewer workers than it has, and they would wait for the others in vain; take it off",
        )
    if queued and job.spec.suspend:
        raise PlanRejected(
            reason="HeldByQueue",
            field="spec.suspend",
            message="true would stop Jobs that Kueue starts again; leave it false, and set spec.active: false on their Workloads instead",
        )
