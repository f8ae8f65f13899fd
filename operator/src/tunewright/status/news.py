"""Which changes of a stored status are news, and which can wait for the next change."""

from collections.abc import Mapping
from typing import Any

from tunewright.api.v1alpha1.status import Phase, Reason

# Between two of these, an Event would repeat what the phase and the pods' own Events show; each costs as much as a child of the job.
_ROUTINE = frozenset({Reason.PENDING.value, Reason.RUNNING.value, Reason.SUCCEEDED.value})
# Users wait for the first, decisions read the next two, and the last is observed only once.
_RESULTS = ("observedGeneration", "revision", "artifacts", "disruptions")
_FINAL = frozenset(phase.value for phase in Phase)  # all but those of stages that follow each other


def is_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two statuses differ in their phase, or in the reason for it.

    The beginning of a job, and from stage to stage, are no news. A fault is, and what follows it.
    """
    changed = (before.get("phase"), before.get("reason")) != (after.get("phase"), after.get("reason"))
    return bool(after.get("reason")) and changed and not {before.get("reason", Reason.PENDING.value), after.get("reason")} <= _ROUTINE


def can_wait(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether a change can be written a little later, with the next one: a stage follows another, and then its pods start."""
    unchanged = all(before.get(field) == after.get(field) for field in _RESULTS)
    return bool(before) and unchanged and not is_news(before, after) and after.get("phase") not in _FINAL


def is_within_a_stage(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether two statuses show the same stage at the same step: its pods run, or a message has changed."""
    return all(before.get(field) == after.get(field) for field in ("phase", "progress"))
