"""What people read about the number of servers when something else than the job has set it."""

from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.plan.inputs import ServeOutcome
from tunewright.plan.plan_types import FineTunePlan
from tunewright_contract.stages import SERVE
from tunewright_contract.text import clip

REPLICAS_REVERTED = "ReplicasReverted"  # reason of the Event


def scaling_warnings(serving: ServingSpec | None, plan: FineTunePlan, live: ServeOutcome) -> tuple[str, ...]:
    """Return that `replicas` has no effect, if an autoscaler was recognised that the job does not state."""
    if serving is None or serving.autoscaling is not None or not live.scaler:
        return ()
    name = plan.names[SERVE]
    warning = (
        f"spec.serving.replicas has no effect: {live.scaler} sets the number of servers of Deployment {name}. To leave it so, set "
        "serving.autoscaling: {}. To set the number in the job again, delete the autoscaler, then run "
        f'`kubectl patch deployment/{name} --type=merge --patch=\'{{"spec":{{"replicas":N}}}}\'` with another N than the present one'
    )
    return (warning,)


def reverted(plan: FineTunePlan, live: ServeOutcome) -> str:
    """Return what a manual change of the Deployment's number was, and the way out; empty if there was none."""
    if plan.serve is None or not live.set_by or live.replicas in {None, plan.serve.replicas}:
        return ""
    return clip(
        f"Deployment {plan.names[SERVE]}: spec.replicas: {live.set_by} set {live.replicas}, and the operator set it back to "
        f"{plan.serve.replicas}, the job's spec.serving.replicas. To change it, run "
        f"`kubectl scale ftj/{plan.owner.name} --replicas={live.replicas}`; if an autoscaler of the Deployment sets it, add "
        "serving.autoscaling: {} to the job"
    )
