"""The Job of a stage with one pod, and the fields that all Jobs share.

`ttlSecondsAfterFinished` is never set: the operator reads a stage's report from its finished pods.
"""

from tunewright.plan import label_names
from tunewright.plan.ending import AT_ONCE, Ending
from tunewright.plan.plan_types import FineTunePlan, PodPlan
from tunewright.render.labels import JsonObject, is_queued, metadata, pod_pass_labels, recorded
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import pod_variables
from tunewright.render.volumes import pod_mounts
from tunewright_contract.exit_codes import DISPOSITIONS, Disposition
from tunewright_contract.stages import Shape, Stage

_DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]

# Exit codes after which a retry cannot succeed.
_HOPELESS = sorted(code.value for code, then in DISPOSITIONS.items() if then is Disposition.FAIL)


def failure_policy(stage: Stage) -> JsonObject:
    """Return the Job's `podFailurePolicy`. Only the stage's own container counts: an injected one can end with the same exit code.

    If a drain evicts a single pod, a new pod replaces it, and no retry is counted. A gang cannot continue with a replaced member: the whole
    attempt ends, and the next one resumes from the checkpoint.
    """
    hopeless = {"containerName": stage.component, "operator": "In", "values": _HOPELESS}
    disrupted = "FailJob" if stage.shape is Shape.GANG else "Ignore"
    return {"rules": [{"action": "FailJob", "onExitCodes": hopeless}, {"action": disrupted, "onPodConditions": _DISRUPTED}]}


def ended_annotation(ending: Ending | None) -> JsonObject:
    """Return the annotation with the record of a Job that is ended, or nothing."""
    return {label_names.ENDED: ending.record.model_dump_json(exclude_none=True)} if ending else {}


def disrupted_annotation(disrupted: str) -> JsonObject:
    """Return the annotation of a Job whose pod was deleted from outside, or nothing."""
    return {label_names.DISRUPTED: disrupted} if disrupted else {}


def ended_spec(ending: Ending | None) -> JsonObject:
    """Return the field that ends a Job, or nothing."""
    if ending is None:
        return {}
    return {"suspend": True} if ending.suspend else {"activeDeadlineSeconds": AT_ONCE}


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


def render_pod_jobs(plan: FineTunePlan, stage: Stage, wanted: PodPlan) -> list[JsonObject]:
    """Return the Job of a stage of one pod; none if it is replaced, which deletes it."""
    return [] if wanted.replaces else [_pod_job(plan, stage, wanted)]


def _pod_job(plan: FineTunePlan, stage: Stage, wanted: PodPlan) -> JsonObject:
    mounts = pod_mounts(plan, stage)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(
            plan,
            plan.names[stage],
            stage.component,
            labels=plan.pass_labels,
            annotations=recorded(wanted) | ended_annotation(wanted.ending) | disrupted_annotation(wanted.disrupted),
        ),
        "spec": {
            **suspension(plan, stage),
            **deadline(plan),
            **ended_spec(wanted.ending),
            "backoffLimit": wanted.backoff_limit,
            "podFailurePolicy": failure_policy(stage),
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
