"""The conditions of a job: Ready, then Reconciling or Stalled while they are true, then one per stage."""

from tunewright.api.v1alpha1.status import Condition, ConditionType, Reason
from tunewright.plan.regression import Regression
from tunewright.status.conditions import FALSE, TRUE, UNKNOWN, make_condition
from tunewright.status.failures import explained
from tunewright.status.situation import Situation
from tunewright.status.standing import Standing, standing_of
from tunewright_contract import stages
from tunewright_contract.stages import Shape

_NO_TROUBLE = frozenset({Reason.PENDING.value, Reason.RUNNING.value, Reason.QUEUED.value})


def standing_with_objection(situation: Situation) -> Standing:
    """Return where a job stands, and that a change was refused. The refusal's reason counts where there is no other trouble."""
    standing, plan = standing_of(situation), situation.plan
    if plan.objection is None:
        return standing
    reason = plan.objection.reason if standing.reason in _NO_TROUBLE else standing.reason
    return standing._replace(reason=reason, message=f"{standing.message}, unchanged: {plan.objection.message}")


def conditions_of(situation: Situation, regression: Regression | None = None) -> list[Condition]:
    """Return a job's conditions, as yet without times."""
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
    return wanted


def _stage_conditions(situation: Situation, standing: Standing) -> list[Condition]:
    """Return a condition for each stage. Those before the present one are done, those after it have yet to come."""
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
