"""Reverts refused changes of a running job in the plan's input, so that the running work continues unchanged."""

from tunewright.api.v1alpha1.job import FineTuneJob
from tunewright.plan.errors import PlanRejected
from tunewright.plan.inputs import Past, StageState
from tunewright.plan.label_names import PARTIAL_ADMISSION
from tunewright.plan.resize import as_begun, can_stay


def as_before(job: FineTuneJob, past: Past, refused: PlanRejected) -> FineTuneJob | None:
    """Return the job without what was refused, as far as what runs can do without it; None when that is not so, or nothing is left.

    What has not begun is not begun against its own words.
    """
    if not _is_under_way(past):
        return None
    if refused.field == f"metadata.annotations[{PARTIAL_ADMISSION}]":
        rest = {name: value for name, value in job.metadata.annotations.items() if name != PARTIAL_ADMISSION}
        return job.model_copy(update={"metadata": job.metadata.model_copy(update={"annotations": rest})})
    if refused.field == "spec.suspend":
        return job.model_copy(update={"spec": job.spec.model_copy(update={"suspend": False})})
    # The server's or the workers' refusal may name what they do not go with. Before the model is written a server is no part of the plan.
    if job.spec.serving is not None and past.export.state is not StageState.SUCCEEDED:
        return job.model_copy(update={"spec": job.spec.model_copy(update={"serving": None})})
    return as_begun(job, past) if can_stay(job, past) else None


def _is_under_way(past: Past) -> bool:
    """Say whether there is a gang, or Check is on its way: after it, the next thing would be to begin one."""
    return past.train.attempts > 0 or past.check.state not in {StageState.ABSENT, StageState.SUCCEEDED}
