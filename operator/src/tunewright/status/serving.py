"""The serving revision, the previous one for a rollback, whether the observed revision is the wanted one, and the number of servers.

Something else than the job can set the number of servers: an autoscaler, or a person.
"""

from dataclasses import replace

from tunewright.api.v1alpha1.serving import ServingSpec
from tunewright.api.v1alpha1.status import ServingStatus
from tunewright.plan.inputs import Missing, Past, ServeOutcome, StageState
from tunewright.plan.plan_types import FineTunePlan
from tunewright.plan.rollout import Choice
from tunewright.status.failures import failure_of
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


def as_planned(past: Past, plan: FineTunePlan, choice: Choice | None) -> Past:
    """Return the past with the server as pending until the Deployment has the chosen revision.

    All servers can be ready, or a revision rolled back, while the job already requests another revision, or a model that does not exist.
    `choice` is the revision that was rendered.
    """
    if plan.serve is None:
        return past
    if isinstance(plan.serve.model, Missing):
        return past.with_outcome(SERVE, replace(past.serve, state=StageState.PENDING, failure=failure_of([plan.serve.model])))
    rollout = past.serve.rollout
    if rollout.live is None or choice is None:
        return past
    if (choice.run.name, choice.refused) == (rollout.live.name, rollout.refused):
        return past
    failure = past.serve.failure if choice.refused else None  # else it belongs to a revision that is no longer requested
    return past.with_outcome(SERVE, replace(past.serve, state=StageState.PENDING, failure=failure))


def serving_status(serve: ServeOutcome, previous: ServingStatus | None) -> ServingStatus | None:
    """Return the serving revision. Until all replicas of a new one have been ready, it is the earlier one."""
    if serve.state is StageState.ABSENT:
        return previous
    rollout = serve.rollout
    kept = _named(rollout.previous.name) if rollout.previous else None
    live = _named(rollout.live.name) if rollout.live else None
    works = serve.state is StageState.SUCCEEDED or rollout.completed or rollout.refused is not None
    answers = live if works else kept
    return ServingStatus(
        url=serve.url or None if works or kept else None,
        revision=answers,
        previous_revision=kept if kept != answers else None,
        rolled_back_revision=_named(rollout.refused.revision) if rollout.refused else None,
        ready_replicas=serve.ready_replicas,
        selector=clip(serve.selector, 2048) or None,
    )


def _named(revision: str) -> str:
    """Return a revision's name within the bounds of status. It comes from an annotation, which others can write."""
    return clip(revision, 253)
