"""What the Jobs of check, train and export have in common.

`ttlSecondsAfterFinished` is never set: the operator reads a stage's report from its finished pods.
"""

from tunewright.plan.plan_types import FineTunePlan
from tunewright.render.labels import Manifest, is_queued
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
