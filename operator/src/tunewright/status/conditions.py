"""The conditions of a job: Ready, then Reconciling or Stalled while they are true, then one per stage.

They follow Kubernetes' conventions: one per type, and the transition time changes with the status, not with the message.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from tunewright.api.v1alpha1.status import Condition, ConditionType, Reason
from tunewright.plan.regression import Regression
from tunewright.status.failures import explained
from tunewright.status.situation import Situation
from tunewright.status.standing import Standing, standing_of, standing_with_objection
from tunewright_contract import stages
from tunewright_contract.stages import Shape
from tunewright_contract.text import clip

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"


def conditions_of(situation: Situation, regression: Regression | None = None, altered: Sequence[str] = ()) -> list[Condition]:
    """Return a job's conditions without times. `altered`: objects that a policy has changed."""
    plan, (_, reason, message, beside_ready) = situation.plan, standing_with_objection(situation)
    wanted = [make_condition(ConditionType.READY, FALSE if situation.at else TRUE, reason, message)]
    if beside_ready:
        wanted.append(make_condition(beside_ready, TRUE, reason, message))
    wanted += _stage_conditions(situation, standing_of(situation))
    if plan.suspend:
        wanted.append(make_condition(ConditionType.SUSPENDED, TRUE if situation.suspended else FALSE, reason, message))
    if plan.objection:
        wanted.append(make_condition(ConditionType.CHANGE_REFUSED, TRUE, plan.objection.reason, plan.objection.message))
    if regression is not None:
        why = Reason.REGRESSION_ALLOWED if regression.allowed else Reason.MODEL_REGRESSED
        wanted.append(make_condition(ConditionType.MODEL_REGRESSED, TRUE, why.value, regression.figures))
    if altered:
        wanted.append(make_condition(ConditionType.OBJECTS_ALTERED, TRUE, Reason.WRITE_ALTERED.value, "; ".join(altered)))
    return wanted


def _stage_conditions(situation: Situation, standing: Standing) -> list[Condition]:
    """Return a condition for each stage. Those before the present one are done, those after it have not begun."""
    conditions = []
    passed = True
    for stage in stages.STAGES:
        if stage not in situation.wanted:
            conditions.append(make_condition(stage.condition, FALSE, Reason.NOT_WANTED.value, "the job requests no server"))
        elif stage is situation.at:
            passed = False
            stalled = standing.beside_ready is ConditionType.STALLED
            conditions.append(make_condition(stage.condition, FALSE if stalled else UNKNOWN, standing.reason, explained(situation.outcome)))
        elif passed or (situation.keeps_server and stage.shape is Shape.SERVER):
            conditions.append(make_condition(stage.condition, TRUE, Reason.SUCCEEDED.value))
        else:
            conditions.append(make_condition(stage.condition, UNKNOWN, Reason.PENDING.value))
    return conditions


def make_condition(kind: str, status: Literal["True", "False", "Unknown"], reason: str, message: str = "") -> Condition:
    """Return a condition without a time. `kind`: a `ConditionType`, or the condition of a stage."""
    return Condition(type=str(kind), status=status, reason=reason, message=clip(message))


def set_conditions(previous: Sequence[Condition], wanted: Sequence[Condition], *, generation: int, now: datetime) -> tuple[Condition, ...]:
    """Return the new conditions with the times of their last change. Types that are not in `wanted` are dropped."""
    before = {condition.type: condition for condition in previous}
    return tuple(set_condition(before.get(condition.type), condition, generation=generation, now=now) for condition in wanted)


def set_condition(before: Condition | None, condition: Condition, *, generation: int, now: datetime) -> Condition:
    """Return `condition` with its time: that of the earlier one if the status is the same, else now."""
    unchanged = before is not None and before.status == condition.status and before.last_transition_time is not None
    since = before.last_transition_time if before is not None and unchanged else now.replace(microsecond=0)
    return condition.model_copy(update={"last_transition_time": since, "observed_generation": generation})
