"""Events: one object for each piece of news, with a count."""

from datetime import UTC, datetime

from tunewright_runtime.errors import Conflict, Transient
from tunewright_runtime.events import event_about, post

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)


def news(at=NOON):
    item = {"metadata": {"name": "bot", "namespace": "demo", "uid": "1"}}
    words = {"severity": "Normal", "state": "Training", "reason": "Running", "message": "", "component": "op"}
    return event_about(item, api_version="example.io/v1", kind="Example", now=at, **words)


class Client:
    def __init__(self, *, there=None, fault=None):
        self.there, self.fault, self.done = there, fault, []

    async def create(self, kind, namespace, body):
        if self.fault:
            raise self.fault
        if self.there:
            raise Conflict("exists")
        self.done.append(("create", body["count"]))

    async def get(self, kind, namespace, name):
        return self.there

    async def merge(self, kind, namespace, name, patch):
        self.done.append(("merge", patch["count"], patch["lastTimestamp"]))


async def test_an_event_is_posted_once():
    client = Client()
    await post(client, news())
    assert client.done == [("create", 1)]


async def test_a_repeated_event_increases_the_count():
    client = Client(there={"count": 2})
    await post(client, news(LATER))
    assert client.done == [("merge", 3, "2026-01-01T13:00:00Z")]


async def test_a_lost_event_is_logged_and_raises_nothing(caplog):
    await post(Client(fault=Transient("no room")), news())
    assert "no room" in caplog.text
