"""The Job of a stage with one pod; and the gang: one Indexed Job per attempt, every pod a node of one torchrun.

A gang restarts as a whole, so an attempt never retries a pod (`backoffLimit: 0`). A new attempt is a new Job. The earlier Jobs stay, and
the operator counts them. `ttlSecondsAfterFinished` is never set: the operator reads a stage's report from its finished pods.
"""

from tunewright.plan import label_names
from tunewright.plan.ending import AT_ONCE, Ending
from tunewright.plan.names import attempt_name
from tunewright.plan.plan_types import FineTunePlan, PodPlan, TrainPlan
from tunewright.render.labels import JsonObject, is_queued, metadata, pod_pass_labels, recorded
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import RENDEZVOUS_PORT, gang_variables, pod_variables
from tunewright.render.volumes import gang_mounts, pod_mounts
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


# No effect on a Job that has ended. A deleted Job is created again suspended, so that it is not a second writer of the checkpoints.
# A gang with another number of pods than the job saves and stops.
_STOPPED: JsonObject = {"suspend": True}


def render_gang_jobs(plan: FineTunePlan, stage: Stage, wanted: TrainPlan) -> list[JsonObject]:
    """Return the Jobs of all attempts, the newest last. One that is replaced is left out, and so deleted."""
    return [_gang_job(plan, stage, wanted, attempt) for attempt in range(wanted.attempt + (not wanted.replaces))]


def begun_with(plan: FineTunePlan, train: TrainPlan) -> dict[str, str]:
    """Return annotations with the values that must not change with the number of workers."""
    return {label_names.GLOBAL_BATCH_SIZE: str(train.global_batch_size), label_names.ZERO_STAGE: str(plan.fit.zero_stage)}


def _gang_job(plan: FineTunePlan, stage: Stage, train: TrainPlan, attempt: int) -> JsonObject:
    mounts = gang_mounts(plan, stage, train.shared_memory)
    labels = {label_names.ATTEMPT: str(attempt)}
    newest = attempt == train.attempt
    ending = train.ending[1] if train.ending and train.ending[0] == attempt else None
    disrupted = train.disrupted[1] if train.disrupted and train.disrupted[0] == attempt else ""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(
            plan,
            attempt_name(plan.names[stage], attempt),
            stage.component,
            labels=labels | dict(plan.pass_labels),
            annotations={
                **plan.pass_annotations,
                **begun_with(plan, train),
                **recorded(train),
                **ended_annotation(ending),
                **disrupted_annotation(disrupted),
                label_names.FAILURES: str(train.counted_failures),
            },
        ),
        "spec": {
            **deadline(plan),
            **(suspension(plan, stage) if newest and not train.stopping else _STOPPED),
            **ended_spec(ending),
            "backoffLimit": 0,
            "completionMode": "Indexed",
            "completions": train.replicas,
            "parallelism": train.replicas,
            "podFailurePolicy": failure_policy(stage),
            "podReplacementPolicy": "Failed",  # never two writers of one checkpoint folder
            "template": pod_template(
                plan,
                stage.component,
                container=container(
                    stage.component,
                    image=plan.trainer_image,
                    command=stage.command,
                    variables=gang_variables(plan, stage, train, attempt),
                    mounts=mounts,
                    resources=train.resources,
                    ports=[{"name": "rendezvous", "containerPort": RENDEZVOUS_PORT}],
                ),
                mounts=mounts,
                options=plan.options(stage),
                grace_seconds=train.termination_grace_seconds,
                labels=labels | pod_pass_labels(plan),
                annotations=plan.pass_annotations,
                together=bool(plan.placement.gang),
                restartPolicy="Never",
                subdomain=plan.names[stage],
            ),
        },
    }
