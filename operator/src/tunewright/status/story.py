"""Where a job stands: which stage it is at, how that goes, and the one word for it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tunewright.api.v1alpha1.status import Phase, Reason
from tunewright.plan.inputs import Past, ServeOutcome, StageOutcome, StageState
from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.plan.regression import stopped_by_regression

Outcome = StageOutcome[Any]

_PHASES: Mapping[Component, Phase] = {
    Component.CHECK: Phase.CHECKING,
    Component.TRAIN: Phase.TRAINING,
    Component.EXPORT: Phase.EXPORTING,
    Component.SERVE: Phase.DEPLOYING,
}
_SUSPENDABLE = (Component.TRAIN, Component.EXPORT)  # Check takes no accelerator, and a server is not work in progress


@dataclass(frozen=True, kw_only=True)
class Story:
    """A job's stages in their order, and the one it is at; None when all that was wanted is done."""

    stages: Mapping[Component, Outcome]
    at: Component | None
    suspended: bool = False  # on our own word, and no pod is left
    suspending: bool = False  # on our own word, and pods still save or end
    queued: bool = False  # on another's: a queue holds the Job back
    evicting: bool = False  # on another's, and pods still save or end
    retrying: bool = False  # the newest attempt failed, and the plan holds another
    resizing: bool = False  # the newest attempt has another number of workers than is wanted, and makes way for one that has
    rolled_back: bool = False  # what is wanted of the servers did not work, and the revision before it answers
    kept: bool = False  # the job's model is worse than its base, and a server that ran before goes on
    stalled: bool = False  # nothing will happen until somebody changes something

    @property
    def outcome(self) -> Outcome:
        """How the present stage goes."""
        return Outcome(state=StageState.SUCCEEDED) if self.at is None else self.stages[self.at]


def tell(past: Past, plan: FineTunePlan, *, serving: bool, leaving: Collection[Component] = ()) -> Story:
    """Say where a job stands. `serving`: the job asks for a server. `leaving`: stages whose pods have been told to go."""
    stages: dict[Component, Outcome] = {Component.CHECK: past.check, Component.TRAIN: past.train, Component.EXPORT: past.export}
    if serving:
        stages[Component.SERVE] = past.serve
    regressed = stopped_by_regression(past)
    at = Component.EXPORT if regressed else _present(stages)
    if at is None:
        return Story(stages=stages, at=None)
    state = stages[at].state
    retrying = at is Component.TRAIN and state is StageState.FAILED and plan.train is not None and plan.train.attempt >= past.train.attempts
    asked_to_suspend = plan.suspend and at in _SUSPENDABLE
    resizing = at is Component.TRAIN and plan.train is not None and past.train.replicas not in {None, plan.train.replicas}
    return Story(
        stages=stages,
        at=at,
        suspended=asked_to_suspend and state in {StageState.ABSENT, StageState.SUSPENDED},
        suspending=asked_to_suspend and state in {StageState.PENDING, StageState.RUNNING},
        queued=state is StageState.SUSPENDED and not plan.suspend and not resizing,
        evicting=at in leaving and not plan.suspend and not resizing,
        retrying=retrying,
        resizing=resizing,
        rolled_back=at is Component.SERVE and state is StageState.FAILED and _answers_as_before(past.serve),
        kept=regressed and serving and past.serve.ready_replicas > 0,
        stalled=state is StageState.FAILED and not retrying,
    )


def phase_of(story: Story) -> Phase:
    """Return the one word for people."""
    if story.at is None:
        return Phase.SERVING if Component.SERVE in story.stages else Phase.COMPLETE
    if story.rolled_back or story.kept:
        return Phase.SERVING
    if story.stalled:
        return Phase.FAILED
    if story.suspended:
        return Phase.SUSPENDED
    return Phase.QUEUED if story.queued else _PHASES[story.at]


def reason_of(story: Story) -> Reason:
    """Return why the job is not ready, or that it is."""
    if story.at is None:
        return Reason.SERVING if Component.SERVE in story.stages else Reason.COMPLETE
    if story.suspended:
        return Reason.SUSPENDED
    if story.suspending:
        return Reason.SUSPENDING
    if story.rolled_back:
        return Reason.ROLLED_BACK
    if story.resizing:
        return Reason.RESIZING
    if story.retrying:
        return Reason.RETRYING
    if story.queued:
        return Reason.QUEUED
    if story.evicting:
        return Reason.EVICTING
    return _REASONS[story.outcome.state]


_REASONS: Mapping[StageState, Reason] = {
    StageState.ABSENT: Reason.PENDING,
    StageState.PENDING: Reason.PENDING,
    StageState.SUSPENDED: Reason.SUSPENDED,
    StageState.RUNNING: Reason.RUNNING,
    StageState.SUCCEEDED: Reason.SUCCEEDED,
    StageState.FAILED: Reason.FAILED,
}


def _answers_as_before(serve: ServeOutcome) -> bool:
    return serve.rollout.refused is not None and serve.ready_replicas > 0


def _present(stages: Mapping[Component, Outcome]) -> Component | None:
    """Return the stage after the last one that is done: a Job that was cleared away does not set its successors back."""
    names = list(stages)
    done = [number for number, name in enumerate(names) if stages[name].state is StageState.SUCCEEDED]
    following = done[-1] + 1 if done else 0
    return names[following] if following < len(names) else None
