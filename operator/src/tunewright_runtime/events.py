"""Events, as `kubectl describe` shows them. An Event's name is a hash of its content, so that a repeated Event is one object with a count.

A lost Event fails no reconcile, because the status has the same information.
"""

import hashlib
import logging
from datetime import datetime
from typing import Any, Literal

from tunewright_runtime.client import Client
from tunewright_runtime.errors import Conflict, TunewrightError
from tunewright_runtime.objects import Manifest

_MESSAGE_LIMIT = 1024  # bytes; the API server refuses longer ones

log = logging.getLogger(__name__)


def event_about(
    item: Manifest,
    *,
    api_version: str,
    kind: str,
    severity: Literal["Normal", "Warning"],
    state: str,
    reason: str,
    message: str,
    component: str,
    now: datetime,
) -> dict[str, Any]:
    """Return an Event about an object. `state` distinguishes Events with the same reason and message; `component` reports it."""
    meta = item["metadata"]
    while len(message.encode()) > _MESSAGE_LIMIT:
        message = message[: len(message) * 9 // 10] + "…"
    content = "\n".join((meta["uid"], state, reason, message))
    at = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": f"{meta['name'][:200]}.{hashlib.sha256(content.encode()).hexdigest()[:16]}", "namespace": meta["namespace"]},
        "involvedObject": {
            "apiVersion": api_version,
            "kind": kind,
            "namespace": meta["namespace"],
            "name": meta["name"],
            "uid": meta["uid"],
        },
        "type": severity,
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": component,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }


async def post(client: Client, event: Manifest) -> None:
    """Post an Event, or increase the count of an existing one. Never raises: errors are logged."""
    namespace, name = event["metadata"]["namespace"], event["metadata"]["name"]
    try:
        try:
            await client.create("Event", namespace, event)
        except Conflict:
            posted = await client.get("Event", namespace, name) or {}
            again = {"count": int(posted.get("count") or 1) + 1, "lastTimestamp": event["lastTimestamp"]}
            await client.merge("Event", namespace, name, again)
    except TunewrightError as error:
        log.warning("event %s/%s was not posted: %s", namespace, name, error)
