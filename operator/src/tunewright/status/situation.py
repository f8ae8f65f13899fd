"""The situation of a job: its present stage, that stage's outcome, and facts about it. `standing.py` has phase, reason and message."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tunewright.plan.inputs import Past, StageOutcome, StageState
from tunewright.plan.plan_types import FineTunePlan, PodPlan, TrainPlan
from tunewright.plan.regression import stopped_by_regression
from tunewright.status.reasons import heals, needs_change
from tunewright_contract import stages
from tunewright_contract.stages import EXPORT, TRAIN, Shape, Stage


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The input of a job's standing. The properties are the conditions of the table in `standing.py`."""

    past: Past
    plan: FineTunePlan
    wanted: tuple[Stage, ...]  # the stages that the job requests, in their order
    at: Stage | None  # the present one; None if all requested stages are done
    leaving: bool = False  # the present stage's Job is suspended, and its pods have not ended yet

    @property
    def outcome(self) -> StageOutcome[Any]:
        """Return the outcome of the present stage."""
        return StageOutcome(state=StageState.SUCCEEDED) if self.at is None else self.past[self.at]

    @property
    def serves(self) -> bool:
        """Return whether the job requests a server."""
        return any(stage.shape is Shape.SERVER for stage in self.wanted)

    @property
    def rolled_back(self) -> bool:
        """The requested server revision failed, and the earlier one answers."""
        refused = self.past.serve.rollout.refused is not None and self.past.serve.ready_replicas > 0
        return refused and self._is_at(Shape.SERVER) and self.outcome.state is StageState.FAILED

    @property
    def regressed(self) -> bool:
        """The job's model is worse than its base, and the job does not allow that."""
        return stopped_by_regression(self.past)

    @property
    def keeps_server(self) -> bool:
        """The job's model is worse than its base, and a server that ran before continues."""
        return self.regressed and self.serves and self.past.serve.ready_replicas > 0

    @property
    def suspended(self) -> bool:
        """By spec.suspend, and no pod is left."""
        return self._asked_to_suspend and self.outcome.state in {StageState.ABSENT, StageState.SUSPENDED}

    @property
    def suspending(self) -> bool:
        """By spec.suspend, and pods still save or end."""
        return self._asked_to_suspend and self.outcome.state in {StageState.PENDING, StageState.RUNNING}

    @property
    def queued(self) -> bool:
        """A queue holds the Job back."""
        return self.outcome.state is StageState.SUSPENDED and not self.plan.suspend and not self.resizing

    @property
    def evicting(self) -> bool:
        """A queue evicts the Job, and its pods still save or end."""
        return self.leaving and not self.plan.suspend and not self.resizing

    @property
    def resizing(self) -> bool:
        """The newest attempt has another number of workers than the job."""
        train = self.plan.train
        return self.at is TRAIN and train is not None and self.past.train.replicas not in {None, train.replicas}

    @property
    def retrying(self) -> bool:
        """The newest attempt failed, and the plan holds another."""
        train = self.plan.train
        failed = self.at is TRAIN and self.outcome.state is StageState.FAILED
        return failed and train is not None and train.attempt >= self.past.train.attempts

    @property
    def repeating(self) -> bool:
        """The present stage of one pod failed, and its Job is being replaced."""
        return self.outcome.state is StageState.FAILED and self._planned is not None and self._planned.replaces

    @property
    def failed(self) -> bool:
        """The present stage failed permanently."""
        return self.outcome.state is StageState.FAILED and not self.retrying and not self.repeating

    @property
    def outdated(self) -> bool:
        """The present stage runs with other pod settings than the job's."""
        differs = self._planned is not None and self.outcome.settings not in {"", self._planned.settings}
        return differs and self.outcome.state is StageState.RUNNING

    @property
    def _planned(self) -> PodPlan | TrainPlan | None:
        planned = self.plan.stages.get(self.at) if self.at else None
        return planned if isinstance(planned, PodPlan | TrainPlan) else None

    @property
    def heals(self) -> bool:
        """The server missed its deadline for a reason that can end by itself: its Deployment keeps trying."""
        failure = self.outcome.failure
        return self.failed and self._is_at(Shape.SERVER) and failure is not None and heals(failure.reason)

    @property
    def needs_change(self) -> bool:
        """The present stage waits, and only a change lets it continue."""
        failure = self.outcome.failure
        return self.outcome.state is StageState.PENDING and failure is not None and needs_change(failure.reason)

    @property
    def _asked_to_suspend(self) -> bool:
        return self.plan.suspend and self.at is not None and self.at.suspendable

    def _is_at(self, shape: Shape) -> bool:
        return self.at is not None and self.at.shape is shape


def situation_of(past: Past, plan: FineTunePlan, *, serving: bool, leaving: Collection[Stage] = ()) -> Situation:
    """Return a job's situation. `serving`: the job requests a server. `leaving`: stages whose pods were stopped and still run."""
    wanted = tuple(stage for stage in stages.STAGES if serving or stage.shape is not Shape.SERVER)
    at = EXPORT if stopped_by_regression(past) else _present(wanted, past)
    return Situation(past=past, plan=plan, wanted=wanted, at=at, leaving=at in leaving)


def _present(wanted: tuple[Stage, ...], past: Past) -> Stage | None:
    """Return the stage after the last completed one: if an earlier Job was deleted, later stages still count."""
    done = [number for number, stage in enumerate(wanted) if past[stage].state is StageState.SUCCEEDED]
    following = done[-1] + 1 if done else 0
    return wanted[following] if following < len(wanted) else None
