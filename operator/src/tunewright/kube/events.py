"""Events: what `kubectl describe` tells of a job's way, one for each change of its state, and none for progress.

An Event's name is made from the job and what it says, so that the same news is one object however often it is told, by whichever process:
told again, its count goes up. Losing an Event is not worth a failed reconcile; the status says everything, too.
"""

import hashlib
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunewright.api.v1alpha1.status import ConditionType, Phase
from tunewright.errors import Conflict, TunewrightError
from tunewright.kube.client import Client
from tunewright.kube.kinds import FINE_TUNE_JOB, PLACES

COMPONENT = "tunewright"
_MESSAGE_LIMIT = 1024  # bytes; the API server refuses longer ones
_TROUBLED = frozenset({Phase.WAITING.value, Phase.FAILED.value})
_NEEDS_SOMEBODY = frozenset({ConditionType.STALLED, ConditionType.CHANGE_REFUSED})

log = logging.getLogger(__name__)


def is_news(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Say whether a status tells of another state than the one before: another phase, or another reason for it."""
    return bool(after.get("reason")) and (before.get("phase"), before.get("reason")) != (after.get("phase"), after.get("reason"))


def event_for(job: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the Event that tells a job's new state."""
    meta = job["metadata"]
    reason, message = str(status["reason"]), str(status.get("message") or status["reason"])
    while len(message.encode()) > _MESSAGE_LIMIT:
        message = message[: len(message) * 9 // 10] + "…"
    told = "\n".join((meta["uid"], str(status.get("phase")), reason, message))
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": f"{meta['name'][:200]}.{hashlib.sha256(told.encode()).hexdigest()[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": PLACES[FINE_TUNE_JOB].api_version,
            "kind": FINE_TUNE_JOB,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
        "type": "Warning" if status.get("phase") in _TROUBLED or _needs_somebody(status) else "Normal",
        "reason": reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


async def tell(client: Client, event: Mapping[str, Any]) -> None:
    """Post an Event, or count it up when it has been told before. Never raises: what goes wrong is logged."""
    namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
    try:
        try:
            await client.create("Event", namespace, event)
        except Conflict:
            told = await client.get("Event", namespace, name) or {}
            again = {"count": int(told.get("count") or 1) + 1, "lastTimestamp": event["lastTimestamp"]}
            await client.merge("Event", namespace, name, again)
    except TunewrightError as error:
        log.warning("event %s/%s was not posted: %s", namespace, name, error)


def _needs_somebody(status: Mapping[str, Any]) -> bool:
    return any(found["type"] in _NEEDS_SOMEBODY and found["status"] == "True" for found in status.get("conditions", ()))
