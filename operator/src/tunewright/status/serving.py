"""The serving revision, the previous one for a rollback, and whether the observed revision is the wanted one."""

from dataclasses import replace

from tunewright.api.v1alpha1.status import ServingStatus
from tunewright.plan.inputs import Missing, Past, ServeOutcome, StageState
from tunewright.plan.plan_types import FineTunePlan
from tunewright.plan.rollout import Choice
from tunewright.status.failures import failure_of
from tunewright_contract.stages import SERVE
from tunewright_contract.text import clip


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
