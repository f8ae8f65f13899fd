"""The Job that merges, exports, compares and publishes the model."""

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.job import SINGLE_POD_POLICY, TRAINER, deadline, suspension
from tunewright.render.labels import Manifest, metadata, pod_pass_labels
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import export_variables
from tunewright.render.volumes import export_mounts

GRACE_SECONDS = 30  # to remove what is half written; publishing is one rename


def render_export_job(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the Export Job."""
    if plan.export is None:
        return ()
    mounts = export_mounts(plan)
    resources = plan.export.resources
    return (
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(plan, plan.names.export, Component.EXPORT, labels=plan.pass_labels),
            "spec": {
                **suspension(plan),
                **deadline(plan),
                "backoffLimit": plan.export.backoff_limit,
                "podFailurePolicy": SINGLE_POD_POLICY,
                "podReplacementPolicy": "Failed",
                "template": pod_template(
                    plan,
                    Component.EXPORT,
                    container=container(
                        Component.EXPORT,
                        image=plan.trainer_image,
                        command=(*TRAINER, "export"),
                        variables=export_variables(plan, resources),
                        mounts=mounts,
                        resources=resources,
                    ),
                    mounts=mounts,
                    scheduling=plan.scheduling,
                    grace_seconds=GRACE_SECONDS,
                    labels=pod_pass_labels(plan),
                    restartPolicy="Never",
                ),
            },
        },
    )
