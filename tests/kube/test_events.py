"""Events: one for each change of state, one object for each piece of news."""

from datetime import UTC, datetime

import pytest

from tunewright.errors import Conflict, Transient
from tunewright.kube.events import event_for, is_news, tell

JOB = {"metadata": {"name": "bot", "namespace": "demo", "uid": "1"}}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)


def status(phase="Training", reason="Running", message="", *, true=None):
    conditions = [{"type": true, "status": "True"}] if true else []
    return {"phase": phase, "reason": reason, "message": message, "conditions": conditions}


@pytest.mark.parametrize(
    ("expected", "before", "after"),
    [
        (True, {}, status()),
        (False, status(), status()),
        (False, status(message="step 10"), status(message="step 20")),
        (True, status(), status("Exporting")),
        (True, status(), status(reason="Unschedulable")),
        (True, status("Exporting"), status("Failed", "ModelRegressed")),
        (True, status("Serving", "Serving"), status("Serving", "ModelRegressed")),
        (False, status("Serving", "ModelRegressed"), status("Serving", "ModelRegressed")),
        (False, {}, {"phase": "Training"}),
    ],
)
def test_only_another_state_is_news(expected, before, after):
    assert is_news(before, after) is expected


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ("Normal", status()),
        ("Normal", status("Serving")),
        ("Warning", status("Failed")),
        ("Warning", status("Waiting")),
        ("Warning", status(true="Stalled")),
        ("Warning", status("Serving", "ModelRegressed", true="Stalled")),
        ("Warning", status(true="ChangeRefused")),
        ("Normal", status(true="Reconciling")),
    ],
)
def test_trouble_is_a_warning(expected, told):
    assert event_for(JOB, told, NOON)["type"] == expected


def test_the_same_news_has_the_same_name_and_other_news_another():
    first = event_for(JOB, status(), NOON)["metadata"]["name"]
    assert event_for(JOB, status(), LATER)["metadata"]["name"] == first
    assert event_for(JOB, status("Failed"), NOON)["metadata"]["name"] != first
    assert event_for({"metadata": {**JOB["metadata"], "uid": "2"}}, status(), NOON)["metadata"]["name"] != first


def test_a_message_is_cut_to_what_the_api_server_takes():
    assert len(event_for(JOB, status(message="ä" * 5000), NOON)["message"].encode()) <= 1024


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


async def test_news_is_posted_once():
    client = Client()
    await tell(client, event_for(JOB, status(), NOON))
    assert client.done == [("create", 1)]


async def test_the_same_news_again_is_counted():
    client = Client(there={"count": 2})
    await tell(client, event_for(JOB, status(), LATER))
    assert client.done == [("merge", 3, "2026-01-01T13:00:00Z")]


async def test_an_event_that_is_lost_is_logged_and_harms_nothing(caplog):
    await tell(Client(fault=Transient("no room")), event_for(JOB, status(), NOON))
    assert "no room" in caplog.text
