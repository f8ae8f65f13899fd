"""The Job of a stage with one pod, and the fields that all Jobs share.

`ttlSecondsAfterFinished` is never set: the operator reads a stage's report from its finished pods.
"""

from tunewright.plan.plan_types import FineTunePlan, PodPlan
from tunewright.render.labels import JsonObject, is_queued, metadata, pod_pass_labels
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import pod_variables
from tunewright.render.volumes import pod_mounts
from tunewright_contract.exit_codes import DISPOSITIONS, Disposition
from tunewright_contract.stages import Stage

_DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]

# Exit codes after which a retry cannot succeed.
_HOPELESS: JsonObject = {
    "action": "FailJob",
    "onExitCodes": {"operator": "In", "values": sorted(code.value for code, then in DISPOSITIONS.items() if then is Disposition.FAIL)},
}
# A single pod: if a drain evicts it, a new pod replaces it, and no retry is counted.
SINGLE_POD_POLICY: JsonObject = {"rules": [_HOPELESS, {"action": "Ignore", "onPodConditions": _DISRUPTED}]}
# A gang cannot continue with a replaced member: the whole attempt ends, and the next one resumes from the checkpoint.
GANG_POLICY: JsonObject = {"rules": [_HOPELESS, {"action": "FailJob", "onPodConditions": _DISRUPTED}]}


def deadline(plan: FineTunePlan) -> JsonObject:
    """Return the Job's `activeDeadlineSeconds`, if the job has one. It applies to each stage and each attempt separately."""
    return {} if plan.active_deadline_seconds is None else {"activeDeadlineSeconds": plan.active_deadline_seconds}


def suspension(plan: FineTunePlan, stage: Stage) -> JsonObject:
    """Return the Job's `suspend`, or nothing if Kueue controls it.

    Kueue starts a Job in its queue; applying `false` would start it without quota.
    """
    if not stage.suspendable:
        return {}
    if plan.suspend:
        return {"suspend": True}
    return {} if is_queued(plan) else {"suspend": False}


def render_pod_job(plan: FineTunePlan, stage: Stage, wanted: PodPlan) -> JsonObject:
    """Return the Job of a stage of one pod."""
    mounts = pod_mounts(plan, stage)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan, plan.names[stage], stage.component, labels=plan.pass_labels),
        "spec": {
            **suspension(plan, stage),
            **deadline(plan),
            "backoffLimit": wanted.backoff_limit,
            "podFailurePolicy": SINGLE_POD_POLICY,
            "podReplacementPolicy": "Failed",
            "template": pod_template(
                plan,
                stage.component,
                container=container(
                    stage.component,
                    image=plan.trainer_image,
                    command=stage.command,
                    variables=pod_variables(plan, stage, wanted.resources),
                    mounts=mounts,
                    resources=wanted.resources,
                ),
                mounts=mounts,
                options=plan.options(stage),
                grace_seconds=stage.grace_seconds,
                labels=pod_pass_labels(plan),
                restartPolicy="Never",
            ),
        },
    }
