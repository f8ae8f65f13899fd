"""Events of a FineTuneJob: the one to post for its status, and those that explain children whose status has no reason.

An Event is posted for each change of state, but not from stage to stage without a fault, and none for progress. Events about children are
read only for a Job that lacks pods or a pod that does not start, so that a healthy job costs no request; without the right to list Events
only their messages are missing.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tunewright.api.v1alpha1.status import ConditionType
from tunewright.kube.kinds import FINE_TUNE_JOB, RESOURCES
from tunewright.observe.events import unexplained
from tunewright.status.reasons import is_fault
from tunewright_runtime.client import Client
from tunewright_runtime.errors import Forbidden
from tunewright_runtime.events import event_about
from tunewright_runtime.objects import Manifest

COMPONENT = "tunewright"
_WARNING_CONDITIONS = frozenset({ConditionType.STALLED, ConditionType.CHANGE_REFUSED})

_EVENT_CONDITIONS = frozenset({ConditionType.OBJECTS_ALTERED})

log = logging.getLogger(__name__)


def event_for(job: Manifest, status: Manifest, now: datetime) -> dict[str, Any]:
    """Return the Event that reports a job's new state: a Warning for a fault, a refused change, and a job that needs a person."""
    conditions = status.get("conditions", ())
    needs_attention = any(found["type"] in _WARNING_CONDITIONS and found["status"] == "True" for found in conditions)
    return event_about(
        job,
        api_version=RESOURCES[FINE_TUNE_JOB].api_version,
        kind=FINE_TUNE_JOB,
        severity="Warning" if needs_attention or is_fault(str(status["reason"])) else "Normal",
        state=str(status.get("phase")),
        reason=str(status["reason"]),
        message=str(status.get("message") or status["reason"]),
        component=COMPONENT,
        now=now,
    )


def warnings_for(job: Manifest, before: Manifest, after: Manifest, now: datetime) -> Sequence[dict[str, Any]]:
    """Return Events for conditions beside the job's state that have become true, or whose message has changed."""
    known = {(found["type"], found["message"]) for found in before.get("conditions", ()) if found["type"] in _EVENT_CONDITIONS}
    fresh = [found for found in after.get("conditions", ()) if found["type"] in _EVENT_CONDITIONS]
    return [
        warning_for(job, str(found["reason"]), str(found["message"]), now, state=str(found["type"]))
        for found in fresh
        if (found["type"], found["message"]) not in known
    ]


def warning_for(job: Manifest, reason: str, message: str, now: datetime, *, state: str = "") -> dict[str, Any]:
    """Return a Warning Event about a job. `state` distinguishes Events with the same reason and message."""
    return event_about(
        job,
        api_version=RESOURCES[FINE_TUNE_JOB].api_version,
        kind=FINE_TUNE_JOB,
        severity="Warning",
        state=state,
        reason=reason,
        message=message,
        component=COMPONENT,
        now=now,
    )


async def warnings_about(client: Client, namespace: str, children: Sequence[Manifest], now: datetime) -> Sequence[Manifest]:
    """Return the warnings about those of a job's children that need an explanation."""
    found: list[Manifest] = []
    for uid in unexplained(children, now):
        try:
            found += await client.select("Event", namespace, fields=f"involvedObject.uid={uid},type=Warning")
        except Forbidden as error:
            log.warning("cannot list Events of blocked children in %s: %s", namespace, error)
            break
    return found
