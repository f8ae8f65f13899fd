"""The story of a job told in conditions: Ready, then Reconciling or Stalled while they are true, then one per stage."""

from tunewright.api.v1alpha1.status import Condition, ConditionType, Reason
from tunewright.plan.inputs import Past
from tunewright.plan.label_names import Component
from tunewright.plan.plan_types import FineTunePlan
from tunewright.plan.regression import Regression
from tunewright.status.conditions import FALSE, TRUE, UNKNOWN, make_condition
from tunewright.status.failures import suggestion
from tunewright.status.story import Outcome, Story, reason_of

_CONDITIONS = {
    Component.CHECK: ConditionType.VALIDATED,
    Component.TRAIN: ConditionType.TRAINED,
    Component.EXPORT: ConditionType.EXPORTED,
    Component.SERVE: ConditionType.DEPLOYED,
}
_UNTROUBLED = frozenset({Reason.PENDING.value, Reason.RUNNING.value, Reason.QUEUED.value})  # reasons that are no trouble
_NAMES = {Component.CHECK: "check", Component.TRAIN: "train", Component.EXPORT: "export", Component.SERVE: "serve"}


def conditions_of(story: Story, past: Past, plan: FineTunePlan, regression: Regression | None = None) -> list[Condition]:
    """Return a job's conditions, as yet without times."""
    reason, message = _reason(story), _message(story, past, plan)
    if plan.objection:
        reason = plan.objection.reason if reason in _UNTROUBLED else reason
        message = f"{message}, unchanged: {plan.objection.message}"
    wanted = [make_condition(ConditionType.READY, FALSE if story.at else TRUE, reason, message)]
    if story.stalled:
        wanted.append(make_condition(ConditionType.STALLED, TRUE, reason, message))
    elif story.at is not None and not story.suspended:
        wanted.append(make_condition(ConditionType.RECONCILING, TRUE, reason, message))
    wanted += _stage_conditions(story)
    if plan.suspend:
        wanted.append(make_condition(ConditionType.SUSPENDED, TRUE if story.suspended else FALSE, reason, message))
    if plan.objection:
        wanted.append(make_condition(ConditionType.CHANGE_REFUSED, TRUE, plan.objection.reason, plan.objection.message))
    if regression is not None:
        why = Reason.REGRESSION_ALLOWED if regression.allowed else Reason.MODEL_REGRESSED
        wanted.append(make_condition(ConditionType.MODEL_REGRESSED, TRUE, why.value, regression.figures))
    return wanted


def _stage_conditions(story: Story) -> list[Condition]:
    """Walk the stages: those before the present one are done, those after it have yet to come."""
    conditions = []
    passed = True
    for component, kind in _CONDITIONS.items():
        if component not in story.stages:
            conditions.append(make_condition(kind, FALSE, Reason.NOT_WANTED.value, "the job asks for no server"))
        elif component is story.at:
            passed = False
            conditions.append(make_condition(kind, FALSE if story.stalled else UNKNOWN, _reason(story), _why(story.outcome)))
        elif passed or (story.kept and component is Component.SERVE):
            conditions.append(make_condition(kind, TRUE, Reason.SUCCEEDED.value))
        else:
            conditions.append(make_condition(kind, UNKNOWN, Reason.PENDING.value))
    return conditions


def _reason(story: Story) -> str:
    """Return the reason of what stands in the way; else the general one."""
    failure = story.outcome.failure
    aside = story.suspended or story.suspending or story.queued or story.evicting or story.retrying or story.rolled_back
    return reason_of(story).value if failure is None or aside else failure.reason


def _message(story: Story, past: Past, plan: FineTunePlan) -> str:
    if story.at is None:
        return f"the model answers at {past.serve.url}" if Component.SERVE in story.stages else "the model is written"
    stage = _NAMES[story.at]
    why = _why(story.outcome)
    if story.suspended:
        return f"{stage} is suspended (spec.suspend); it goes on from the last whole checkpoint"
    if story.suspending:
        return f"{stage} is being suspended (spec.suspend): its pods save and end"
    if story.queued:
        return f"{stage} waits for its queue to admit it"
    if story.evicting:
        return f"{stage} is being evicted by its queue: its pods save and end"
    if story.rolled_back and (refused := past.serve.rollout.refused):
        return f"revision {refused.revision} was rolled back, and the one before it answers: {why}"
    if story.resizing and plan.train is not None:
        wanted = plan.train.replicas
        return f"train saves, stops, and goes on with {wanted} worker{'s' * (wanted != 1)} instead of {past.train.replicas}"
    if story.retrying:
        return f"attempt {past.train.attempts} failed, another follows: {why}"
    state = story.outcome.state.value.lower()
    if why:
        return f"{stage} is {state}: {why}"
    again = past.train.before if story.at is Component.TRAIN else None
    after = f" (attempt {past.train.attempts}; the one before ended: {again.reason})" if again else ""
    return f"{stage} is {'pending' if state == 'absent' else state}{after}"


def _why(outcome: Outcome) -> str:
    if outcome.failure is None:
        return ""
    message, way_out = outcome.failure.message, suggestion(outcome.failure)
    stop = "" if message.endswith((".", "!", "?")) else "."
    return f"{message}{stop} {way_out}" if way_out else message
