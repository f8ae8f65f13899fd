"""Events: one for each change of state that is no routine, and one object for repeated news."""

from datetime import UTC, datetime

import pytest

from tunewright.kube.events import event_for, warnings_for

JOB = {"metadata": {"name": "bot", "namespace": "demo", "uid": "1"}}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)


def status(phase="Training", reason="Running", message="", *, true=None):
    conditions = [{"type": true, "status": "True"}] if true else []
    return {"phase": phase, "reason": reason, "message": message, "conditions": conditions}


def altered(message):
    """A status with the condition of an object that a policy changed."""
    return {**status(), "conditions": [{"type": "ObjectsAltered", "status": "True", "reason": "WriteAltered", "message": message}]}


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ("Normal", status()),
        ("Normal", status("Serving", "Serving")),
        ("Normal", status("Suspended", "Suspended")),
        ("Normal", status(true="Reconciling")),
        ("Warning", status("Failed", "DataInvalid", true="Stalled")),
        ("Warning", status("Waiting", "ReferenceMissing", true="Reconciling")),
        ("Warning", status(reason="Retrying", true="Reconciling")),
        ("Warning", status(reason="NoProgress", true="Reconciling")),
        ("Warning", status(reason="OutOfMemory", true="Reconciling")),
        ("Warning", status(reason="OperatorForbidden", true="Reconciling")),
        ("Warning", status("Checking", "Unschedulable", true="Reconciling")),
        ("Warning", status("Checking", "WebhookFailed", true="Reconciling")),
        ("Warning", status("Serving", "RolledBack", true="Stalled")),
        ("Warning", status("Serving", "ModelRegressed", true="Stalled")),
        ("Warning", status(true="ChangeRefused")),
    ],
)
def test_faults_and_refused_changes_are_warnings(expected, told):
    assert event_for(JOB, told, NOON)["type"] == expected


@pytest.mark.parametrize(
    ("posted", "before", "after"),
    [
        (["spec.a"], {}, altered("spec.a")),
        ([], altered("spec.a"), altered("spec.a")),
        (["spec.b"], altered("spec.a"), altered("spec.b")),
        ([], altered("spec.a"), status()),
        ([], {}, status(true="Stalled")),
    ],
)
def test_an_altered_object_is_one_warning(posted, before, after):
    found = warnings_for(JOB, before, after, NOON)
    assert [(event["message"], event["type"], event["reason"]) for event in found] == [
        (words, "Warning", "WriteAltered") for words in posted
    ]


def test_equal_events_have_equal_names_and_others_differ():
    first = event_for(JOB, status(), NOON)["metadata"]["name"]
    assert event_for(JOB, status(), LATER)["metadata"]["name"] == first
    assert event_for(JOB, status("Failed"), NOON)["metadata"]["name"] != first
    assert event_for({"metadata": {**JOB["metadata"], "uid": "2"}}, status(), NOON)["metadata"]["name"] != first


def test_a_message_is_cut_to_the_api_servers_limit():
    assert len(event_for(JOB, status(message="ä" * 5000), NOON)["message"].encode()) <= 1024
