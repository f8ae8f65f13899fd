"""Conditions by Kubernetes' conventions: one per type; the transition time changes with the status, not with the message."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

from tunewright.api.v1alpha1.status import Condition
from tunewright_contract.text import plain

MESSAGE_LIMIT = 1024  # characters; what the schema of status allows

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"


def make_condition(kind: str, status: Literal["True", "False", "Unknown"], reason: str, message: str = "") -> Condition:
    """Return a condition, as yet without a time. `kind`: a `ConditionType`, or the condition of a stage."""
    return Condition(type=str(kind), status=status, reason=reason, message=clip(message))


def set_conditions(previous: Sequence[Condition], wanted: Sequence[Condition], *, generation: int, now: datetime) -> tuple[Condition, ...]:
    """Return the wanted conditions, each with the time since which its status has been so. Types that are not wanted any more go."""
    before = {condition.type: condition for condition in previous}
    return tuple(set_condition(before.get(condition.type), condition, generation=generation, now=now) for condition in wanted)


def set_condition(before: Condition | None, condition: Condition, *, generation: int, now: datetime) -> Condition:
    """Return `condition` with its time: that of the one before where the status is the same, else now."""
    unchanged = before is not None and before.status == condition.status and before.last_transition_time is not None
    since = before.last_transition_time if before is not None and unchanged else now.replace(microsecond=0)
    return condition.model_copy(update={"last_transition_time": since, "observed_generation": generation})


def clip(message: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return a message as it may be stored: without control characters, and no longer than `limit`."""
    message = plain(message)
    return message if len(message) <= limit else message[: limit - 1] + "…"
