"""The Job that checks model and data on CPUs, before any accelerator is taken. It runs even while the FineTuneJob is suspended."""

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.job import single_pod_job
from tunewright.render.labels import Manifest
from tunewright.render.variables import check_variables
from tunewright.render.volumes import check_mounts

GRACE_SECONDS = 10  # nothing to save


def render_check_job(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the Check Job."""
    if plan.check is None:
        return ()
    return (
        single_pod_job(
            plan,
            Component.CHECK,
            plan.check,
            name=plan.names.check,
            command="check",
            variables=check_variables(plan, plan.check.resources),
            mounts=check_mounts(plan),
            grace_seconds=GRACE_SECONDS,
            spec={},
        ),
    )
