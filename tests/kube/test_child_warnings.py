"""The operator lists Events only for blocked children, and works without the right to list them."""

from datetime import UTC, datetime, timedelta

from tunewright.kube.events import warnings_about
from tunewright_runtime.errors import Forbidden

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
STUCK = {"kind": "Job", "metadata": {"uid": "j1", "creationTimestamp": "2026-01-01T12:00:00Z"}, "spec": {}}
BUSY = {**STUCK, "metadata": {**STUCK["metadata"], "uid": "j2"}, "status": {"succeeded": 1}}
EVENT = {"kind": "Event", "reason": "FailedCreate"}


class Events:
    """A client that has one Event, or may not list any."""

    def __init__(self, *, forbidden=False):
        self.forbidden, self.asked = forbidden, []

    async def select(self, kind, namespace, *, fields):
        self.asked.append((kind, namespace, fields))
        if self.forbidden:
            raise Forbidden("lacks this permission")
        return [EVENT]


async def test_events_are_listed_only_for_blocked_children():
    events = Events()
    assert await warnings_about(events, "demo", [STUCK, BUSY], NOON + timedelta(minutes=1)) == [EVENT]
    assert events.asked == [("Event", "demo", "involvedObject.uid=j1,type=Warning")]
    assert await warnings_about(events, "demo", [STUCK, BUSY], NOON) == []
    assert len(events.asked) == 1


async def test_without_the_right_to_list_events_only_their_reasons_are_missing():
    assert await warnings_about(Events(forbidden=True), "demo", [STUCK], NOON + timedelta(minutes=1)) == []
