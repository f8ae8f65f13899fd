"""The Job that checks model and data on CPUs, before any accelerator is taken. It runs even while the FineTuneJob is suspended."""

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.job import SINGLE_POD_POLICY, TRAINER, deadline
from tunewright.render.labels import Manifest, metadata, pod_pass_labels
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import check_variables
from tunewright.render.volumes import check_mounts

GRACE_SECONDS = 10  # nothing to save


def render_check_job(plan: FineTunePlan) -> tuple[Manifest, ...]:
    """Return the Check Job."""
    if plan.check is None:
        return ()
    mounts = check_mounts(plan)
    resources = plan.check.resources
    return (
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": metadata(plan, plan.names.check, Component.CHECK, labels=plan.pass_labels),
            "spec": {
                **deadline(plan),
                "backoffLimit": plan.check.backoff_limit,
                "podFailurePolicy": SINGLE_POD_POLICY,
                "podReplacementPolicy": "Failed",
                "template": pod_template(
                    plan,
                    Component.CHECK,
                    container=container(
                        Component.CHECK,
                        image=plan.trainer_image,
                        command=(*TRAINER, "check"),
                        variables=check_variables(plan, resources),
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
