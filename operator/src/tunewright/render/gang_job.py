"""The gang: one Indexed Job per attempt, every pod a node of one torchrun.

A gang restarts as a whole, so an attempt never retries a pod (`backoffLimit: 0`). A new attempt is a new Job. The earlier Jobs stay, and
the operator counts them.
"""

from tunewright.plan import label_names
from tunewright.plan.names import attempt_name
from tunewright.plan.plan_types import FineTunePlan, TrainPlan
from tunewright.render.labels import JsonObject, metadata, pod_pass_labels, recorded
from tunewright.render.pod import container, pod_template
from tunewright.render.pod_job import deadline, disrupted_annotation, ended_annotation, ended_spec, failure_policy, suspension
from tunewright.render.variables import RENDEZVOUS_PORT, gang_variables
from tunewright.render.volumes import gang_mounts
from tunewright_contract.stages import Stage

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
