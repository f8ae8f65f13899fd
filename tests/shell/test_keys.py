"""Which events ask for work, and whose."""

import pytest

from tunewright.reconcile.ports import Key
from tunewright.shell.keys import Keys

BOT = Key("demo", "bot")


def job(uid="1", generation=1, **meta):
    return {"metadata": {"namespace": "demo", "name": "bot", "uid": uid, "generation": generation, **meta}}


def child(uid="1"):
    return {"metadata": {"name": "bot-check", "labels": {"tunewright.io/job-uid": uid}}}


@pytest.mark.parametrize(
    ("expected", "kind", "event"),
    [
        pytest.param(BOT, None, job(), id="the first listing, and every one after a watch broke"),
        pytest.param(BOT, "ADDED", job(), id="a new job"),
        pytest.param(None, "MODIFIED", job(), id="our own status"),
        pytest.param(BOT, "MODIFIED", job(generation=2), id="an edited spec"),
        pytest.param(BOT, "MODIFIED", job(deletionTimestamp="now"), id="a deletion under way"),
        pytest.param(BOT, "DELETED", job(), id="a deletion"),
    ],
)
def test_what_a_jobs_event_asks_for(expected, kind, event):
    keys = Keys()
    keys.of_job("ADDED", job())
    assert keys.of_job(kind, event) == expected


def test_a_change_seen_first_asks_for_work():
    assert Keys().of_job("MODIFIED", job()) == BOT


def test_a_child_wakes_its_job_while_that_is_there():
    keys = Keys()
    assert keys.of_child(child()) is None
    keys.of_job("ADDED", job())
    assert keys.of_child(child()) == BOT
    assert keys.of_child({"metadata": {"labels": None}}) is None
    keys.of_job("DELETED", job())
    assert keys.of_child(child()) is None


def test_a_jobs_successor_has_the_children_with_its_uid():
    keys = Keys()
    keys.of_job("ADDED", job("1"))
    keys.of_job("ADDED", job("2"))
    keys.of_job("DELETED", job("1"))
    assert (keys.of_child(child("1")), keys.of_child(child("2"))) == (None, BOT)
    assert keys.known() == {"2": BOT}
