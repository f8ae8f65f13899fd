"""The Job that merges, exports, compares and publishes the model."""

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.job import single_pod_job, suspension
from tunewright.render.labels import Manifest
from tunewright.render.variables import export_variables
from tunewright.render.volumes import export_mounts

GRACE_SECONDS = 30  # to remove what is half written; publishing is one rename


def render_export_job(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the Export Job."""
    if plan.export is None:
        return ()
    return (
        single_pod_job(
            plan,
            Component.EXPORT,
            plan.export,
            name=plan.names.export,
            command="export",
            variables=export_variables(plan, plan.export.resources),
            mounts=export_mounts(plan),
            grace_seconds=GRACE_SECONDS,
            spec=suspension(plan),
        ),
    )
