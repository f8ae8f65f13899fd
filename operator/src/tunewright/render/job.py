"""What the Jobs of check, train and export have in common.

`ttlSecondsAfterFinished` is never set: the operator reads a stage's report from its finished pods.
"""

from collections.abc import Mapping, Sequence

from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import CheckPlan, ExportPlan, FineTunePlan
from tunewright.render.labels import Manifest, is_queued, metadata, pod_pass_labels
from tunewright.render.pod import container, pod_template
from tunewright.render.variables import Value
from tunewright.render.volumes import Mount
from tunewright_contract.exit_codes import DISPOSITIONS, Disposition

TRAINER = ("python", "-m", "tunewright_trainer")
# Not `torchrun -m tunewright_trainer train`: torchrun turns every failure into exit code 1, `launch` keeps the typed one.
TRAIN_COMMAND = (*TRAINER, "launch")

_DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]

# Exit codes after which another try cannot help.
_HOPELESS: Manifest = {
    "action": "FailJob",
    "onExitCodes": {"operator": "In", "values": sorted(code.value for code, then in DISPOSITIONS.items() if then is Disposition.FAIL)},
}
# One pod alone: its loss to a drained node costs no try, and a new pod takes its place.
SINGLE_POD_POLICY: Manifest = {"rules": [_HOPELESS, {"action": "Ignore", "onPodConditions": _DISRUPTED}]}
# A gang cannot go on with a replaced member: the whole attempt ends, and the next one resumes from the checkpoint.
GANG_POLICY: Manifest = {"rules": [_HOPELESS, {"action": "FailJob", "onPodConditions": _DISRUPTED}]}


def deadline(plan: FineTunePlan) -> Manifest:
    """Return the Job's `activeDeadlineSeconds`, if the job has one. It is each stage's, and each attempt's, own."""
    return {} if plan.active_deadline_seconds is None else {"activeDeadlineSeconds": plan.active_deadline_seconds}


def suspension(plan: FineTunePlan) -> Manifest:
    """Return the Job's `suspend`, if it is ours to say.

    A Job in a queue is released by Kueue; asserting `false` would take it out of the queue's hands.
    """
    if plan.suspend:
        return {"suspend": True}
    return {} if is_queued(plan) else {"suspend": False}


def single_pod_job(
    plan: FineTunePlan,
    component: Component,
    stage: CheckPlan | ExportPlan,
    *,
    name: str,
    command: str,
    variables: Mapping[str, Value],
    mounts: Sequence[Mount],
    grace_seconds: int,
    spec: Manifest,
) -> Manifest:
    """Return the Job of a stage that one pod does alone. `command` is the trainer's, `spec` is what this stage adds to the Job's."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(plan, name, component, labels=plan.pass_labels),
        "spec": {
            **spec,
            **deadline(plan),
            "backoffLimit": stage.backoff_limit,
            "podFailurePolicy": SINGLE_POD_POLICY,
            "podReplacementPolicy": "Failed",
            "template": pod_template(
                plan,
                component,
                container=container(
                    component,
                    image=plan.trainer_image,
                    command=(*TRAINER, command),
                    variables=variables,
                    mounts=mounts,
                    resources=stage.resources,
                ),
                mounts=mounts,
                scheduling=plan.scheduling,
                grace_seconds=grace_seconds,
                labels=pod_pass_labels(plan),
                restartPolicy="Never",
            ),
        },
    }
