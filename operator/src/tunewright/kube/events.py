"""Which Event a FineTuneJob's status gives: one for each change of its state, and none for progress."""

from datetime import datetime
from typing import Any

from tunewright.api.v1alpha1.status import ConditionType, Phase
from tunewright.kube.kinds import FINE_TUNE_JOB, RESOURCES
from tunewright_runtime.events import event_about
from tunewright_runtime.objects import Manifest

COMPONENT = "tunewright"
_WARNING_PHASES = frozenset({Phase.WAITING.value, Phase.FAILED.value})
_WARNING_CONDITIONS = frozenset({ConditionType.STALLED, ConditionType.CHANGE_REFUSED})


def is_news(before: Manifest, after: Manifest) -> bool:
    """Return whether two statuses differ in their phase, or in the reason for it."""
    return bool(after.get("reason")) and (before.get("phase"), before.get("reason")) != (after.get("phase"), after.get("reason"))


def event_for(job: Manifest, status: Manifest, now: datetime) -> dict[str, Any]:
    """Return the Event that reports a job's new state."""
    needs_attention = any(found["type"] in _WARNING_CONDITIONS and found["status"] == "True" for found in status.get("conditions", ()))
    return event_about(
        job,
        api_version=RESOURCES[FINE_TUNE_JOB].api_version,
        kind=FINE_TUNE_JOB,
        severity="Warning" if status.get("phase") in _WARNING_PHASES or needs_attention else "Normal",
        state=str(status.get("phase")),
        reason=str(status["reason"]),
        message=str(status.get("message") or status["reason"]),
        component=COMPONENT,
        now=now,
    )
