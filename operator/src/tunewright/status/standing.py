"""One ordered table: when a job is in which phase, with which reason and which message. The first row that applies counts."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from tunewright.api.v1alpha1.status import ConditionType, Phase, Reason
from tunewright.observe.reasons import OF_NODES
from tunewright.plan.inputs import StageState
from tunewright.status.failures import explained
from tunewright.status.retries import to_continue
from tunewright.status.situation import Situation
from tunewright_contract.stages import TRAIN


class Standing(NamedTuple):
    """Phase, reason and message of a job."""

    phase: str
    reason: str
    message: str
    beside_ready: ConditionType | None  # the condition of kstatus that is true beside Ready=False


class Case(NamedTuple):
    """One row of the table."""

    when: Callable[[Situation], bool]
    beside_ready: ConditionType | None
    phase: Phase | None  # None: that of the present stage
    reason: Reason | None  # None: that of the present stage's failure, else that of its state
    message: Callable[[Situation], str]


_REASONS: Mapping[StageState, Reason] = {
    StageState.ABSENT: Reason.PENDING,
    StageState.PENDING: Reason.PENDING,
    StageState.SUSPENDED: Reason.SUSPENDED,
    StageState.RUNNING: Reason.RUNNING,
    StageState.SUCCEEDED: Reason.SUCCEEDED,
    StageState.FAILED: Reason.FAILED,
}

_NO_TROUBLE = frozenset({Reason.PENDING.value, Reason.RUNNING.value, Reason.QUEUED.value})


def standing_of(situation: Situation) -> Standing:
    """Return the phase, reason and message of the first row that applies."""
    row = next(row for row in TABLE if row.when(situation))
    reason = row.reason.value if row.reason else _reason_of_stage(situation)
    phase = row.phase or (situation.at.phase if situation.at else Phase.PENDING)
    return Standing(phase=phase, reason=reason, message=row.message(situation), beside_ready=row.beside_ready)


def standing_with_objection(situation: Situation) -> Standing:
    """Return a job's standing with a refused change. The refusal's reason counts if the job has no other problem."""
    standing, plan = standing_of(situation), situation.plan
    if plan.objection is None:
        return standing
    reason = plan.objection.reason if standing.reason in _NO_TROUBLE else standing.reason
    return standing._replace(reason=reason, message=f"{standing.message}, unchanged: {plan.objection.message}")


def _reason_of_stage(situation: Situation) -> str:
    """Return the reason of the present stage's failure, else that of its state."""
    failure = situation.outcome.failure
    return failure.reason if failure else _REASONS[situation.outcome.state].value


def _name(situation: Situation) -> str:
    return situation.at.name if situation.at else ""


def _answers(situation: Situation) -> str:
    return f"the model answers at {situation.past.serve.url}"


def _is_written(_: Situation) -> str:
    return "the model is written"


def _rolled_back(situation: Situation) -> str:
    refused = situation.past.serve.rollout.refused
    why = explained(situation.outcome, to_continue(situation))
    return f"revision {refused.revision if refused else ''} was rolled back, and the previous one serves: {why}"


def _suspended(situation: Situation) -> str:
    return f"{_name(situation)} is suspended (spec.suspend); it resumes from the last complete checkpoint"


def _held_up(situation: Situation) -> str:
    """Return why pods do not end, if their node is the reason."""
    failure = situation.outcome.failure
    return f"; {explained(situation.outcome)}" if failure and failure.reason in OF_NODES else ""


def _suspending(situation: Situation) -> str:
    return f"{_name(situation)} is being suspended (spec.suspend): its pods save and end{_held_up(situation)}"


def _queued(situation: Situation) -> str:
    return f"{_name(situation)} waits for its queue to admit it"


def _evicting(situation: Situation) -> str:
    return f"{_name(situation)} is being evicted by its queue: its pods save and end{_held_up(situation)}"


def _resizing(situation: Situation) -> str:
    wanted = situation.plan.train.replicas if situation.plan.train else 0
    workers = f"{wanted} worker{'s' * (wanted != 1)} instead of {situation.past.train.replicas}"
    return f"{_name(situation)} saves, stops, and resumes with {workers}"


def _retrying(situation: Situation) -> str:
    return f"attempt {situation.past.train.attempts} failed, the next one follows: {explained(situation.outcome)}"


def _repeating(situation: Situation) -> str:
    return f"{_name(situation)} failed and is run again: {explained(situation.outcome)}"


def _by_state(situation: Situation) -> str:
    return f"{_of_state(situation)}{_when_changed(situation)}"


def _when_changed(situation: Situation) -> str:
    """Return when changed pod settings take effect, and how to apply them now."""
    if not situation.outdated or situation.at is None:
        return ""
    if situation.past.queued:
        now = "deactivate its Workload (spec.active: false), and activate it when the phase is Queued"
    elif situation.at.suspendable:
        now = "set spec.suspend to true, and to false when the phase is Suspended"
    else:
        now = f"delete its Job, {situation.plan.names[situation.at]}"
    return f"; it runs with the pod settings from before the last change, which takes effect when it starts again; to apply it now, {now}"


def _of_state(situation: Situation) -> str:
    stage, state, train = _name(situation), situation.outcome.state.value.lower(), situation.past.train
    if why := explained(situation.outcome, to_continue(situation)):
        return f"{stage} is {state}: {why}"
    before = train.before if situation.at is TRAIN else None
    after = f" (attempt {train.attempts}; the previous one ended: {before.reason})" if before else ""
    return f"{stage} is {'pending' if state == 'absent' else state}{after}"


_GOES_ON, _STALLED = ConditionType.RECONCILING, ConditionType.STALLED

# fmt: off
TABLE = (
    Case(lambda now: now.at is None and now.serves,                    None,     Phase.SERVING,   Reason.SERVING,     _answers),
    Case(lambda now: now.at is None,                                   None,     Phase.COMPLETE,  Reason.COMPLETE,    _is_written),
    Case(lambda now: now.rolled_back,                                  _STALLED, Phase.SERVING,   Reason.ROLLED_BACK, _rolled_back),
    Case(lambda now: now.keeps_server,                                 _STALLED, Phase.SERVING,   None,               _by_state),
    Case(lambda now: now.suspended,                                    None,     Phase.SUSPENDED, Reason.SUSPENDED,   _suspended),
    Case(lambda now: now.suspending,                                   _GOES_ON, None,            Reason.SUSPENDING,  _suspending),
    Case(lambda now: now.queued,                                       _GOES_ON, Phase.QUEUED,    Reason.QUEUED,      _queued),
    Case(lambda now: now.evicting,                                     _GOES_ON, None,            Reason.EVICTING,    _evicting),
    Case(lambda now: now.resizing and now.outcome.failure is not None and not now.retrying,
                                                                      _GOES_ON, None,            None,               _resizing),
    Case(lambda now: now.resizing,                                     _GOES_ON, None,            Reason.RESIZING,    _resizing),
    Case(lambda now: now.retrying,                                     _GOES_ON, None,            Reason.RETRYING,    _retrying),
    Case(lambda now: now.heals,                                        _GOES_ON, None,            None,               _by_state),
    Case(lambda now: now.repeating,                                    _GOES_ON, None,            Reason.RETRYING,    _repeating),
    Case(lambda now: now.failed,                                       _STALLED, Phase.FAILED,    None,               _by_state),
    Case(lambda now: now.needs_change,                                 _STALLED, None,            None,               _by_state),
    Case(lambda _: True,                                               _GOES_ON, None,            None,               _by_state),
)
# fmt: on
