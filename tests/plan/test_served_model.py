"""Whose model is served: the job's own, or another's that it names; and what becomes of it when that one is not there."""

import pytest
from plan_jobs import checked, job, past, past_of

from tunewright.plan.inputs import Defaults, Missing, References, ServeOutcome, StageState
from tunewright.plan.placement import SERVED_MODEL
from tunewright.plan.plan import plan
from tunewright.plan.rollout import PublishedModel, Rollout, ServingRevision

NEXT = PublishedModel(job="next", revision="2", claim="next-output", path="models")
AGAIN = NEXT.model_copy(update={"revision": "3"})
THIRD = PublishedModel(job="third", revision="1", claim="third-output", path="models")
GONE = Missing(field=SERVED_MODEL, kind="FineTuneJob", name="next", message="there is no such job")
SERVES_NEXT = {"serving": {"modelRef": {"name": "next"}}}


def planned(spec, *, served=None, running=None):
    """Plan a job whose model is exported; `running`: its servers have this model."""
    live = ServingRevision(name="live", template={}, model=running)
    done = past(check=checked(), train=StageState.SUCCEEDED, attempts=1, export=StageState.SUCCEEDED)
    done = past_of(done, serve=ServeOutcome(rollout=Rollout(live=live, current=True)))
    return plan(job(spec), References(served=served), done, Defaults())


def test_a_job_serves_its_own_model():
    decided = planned({"serving": {}})
    assert decided.serve.model == PublishedModel(job="support-bot", revision=decided.revision, claim="support-bot-output", path="models")


@pytest.mark.parametrize(
    ("expected", "served", "running"),
    [
        pytest.param(NEXT, NEXT, None, id="instead of its own"),
        pytest.param(NEXT, NEXT, THIRD, id="instead of a third one's"),
        pytest.param(AGAIN, AGAIN, NEXT, id="made again under the same name"),
        pytest.param(GONE, GONE, None, id="not there: its own is not what is asked for"),
        pytest.param(GONE, GONE, THIRD, id="not there, while a third one's answers"),
        pytest.param(NEXT, GONE, NEXT, id="gone, and its model answers: that was found, and stays"),
    ],
)
def test_a_job_serves_the_model_it_names(expected, served, running):
    assert planned(SERVES_NEXT, served=served, running=running).serve.model == expected


@pytest.mark.parametrize(
    ("expected", "modes"),
    [("", ()), ("", ("ReadWriteMany",)), ("only one node at a time mounts claim next-output (ReadWriteOnce)", ("ReadWriteOnce",))],
    ids=["not known", "of many nodes", "of one node"],
)
def test_servers_share_a_node_for_the_claim_of_the_model_they_serve(expected, modes):
    shared = {"output": {"storage": {"accessModes": ["ReadWriteMany"]}}}
    model = NEXT.model_copy(update={"access_modes": modes})
    assert planned(SERVES_NEXT | shared, served=model).placement.servers == expected


def test_a_read_write_once_pod_claim_allows_no_replacement_server():
    found = planned(SERVES_NEXT, served=NEXT.model_copy(update={"access_modes": ("ReadWriteOncePod",)})).serve.model
    assert isinstance(found, Missing)
    assert (found.field, found.kind, found.name) == ("spec.serving.modelRef.name", "PersistentVolumeClaim", "next-output")
