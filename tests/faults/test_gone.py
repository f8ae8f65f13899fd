"""A namespace or the CRD is deleted during a run; two operators work at once."""

import pytest
from fake_kubelet import FakeKubelet
from life import ATTEMPTS, ends_like, live, made, settle
from namespaces import new_namespace
from scene import DEFINITION, JOB, Scene, install_definition
from waiting import until

BOUND = 30  # writes that an operator may try in a namespace that refuses them


@pytest.fixture
def doomed_namespace(our_plane):
    """No other program deletes it."""
    return next(new_namespace(our_plane.api))


def test_a_namespace_that_is_deleted_in_the_middle_of_a_run(our_plane, open_mortal, doomed_namespace):
    """Only its job ends with it, and the operator sends no request there any more."""
    with open_mortal(our_plane, doomed_namespace) as life:
        there = Scene(
            api=our_plane.api,
            namespace=doomed_namespace,
            operator=life.operator,
            kubelet=FakeKubelet(our_plane.api, doomed_namespace),
            audit=our_plane.audit,
        )
        there.create_job()
        there.kubelet.wait_for("checker")
        deleted = our_plane.audit.end()
        our_plane.api.delete("v1", "Namespace", doomed_namespace)
        until(lambda: there.names(*JOB) == [], "the job is gone", patience=300)  # pods go first, and the controller allows them their grace
        until(lambda: there.names("batch/v1", "Job") == [], "what it had is gone", patience=300)
        assert len(there.writes(deleted)) <= BOUND  # what is being deleted one by one is not fought for
        since = our_plane.audit.end()
        life.scene.create_job()
        life.scene.reaches("Checking")
        life.scene.look_again("once")
        assert [write for write in life.scene.writes(since) if f"/{doomed_namespace}/" in write] == []
        assert life.operator.starts == 1
        assert life.operator.get("/livez") == 200


def test_a_crd_that_is_deleted_and_created_again(our_plane, mortal):
    """With it go all jobs. Whether the operator waits or restarts, it works when the definition is back.

    Their children go, too, if Kubernetes' garbage collector has watched the kind by then: it looks for new kinds every 30 seconds.
    """
    with mortal() as life:
        life.scene.create_job()
        life.scene.reaches("Checking")
        our_plane.api.delete(*DEFINITION)
        until(lambda: our_plane.api.get(*DEFINITION) is None, "the definition is gone")
        before = set(life.scene.names("batch/v1", "Job"))
        install_definition(our_plane.api)
        life.scene.create_job("again")
        life.scene.reaches("Checking", "again")
        assert set(life.scene.names("batch/v1", "Job")) - before == {"again-check"}


@pytest.mark.parametrize("status", [401, 404, 410])
def test_watches_that_end_the_process(mortal, status):
    """kopf takes these answers for its end. The process ends with it, is started again, and has lost nothing: what stands is not written."""
    with mortal() as life:
        life.scene.create_job("before")
        life.scene.reaches("Checking", "before")
        settle(life.scene)
        written = len(life.proxy.written)
        life.proxy.refuse(status, which=lambda asked: asked.watch)
        life.proxy.cut_watches()
        until(lambda: life.operator.starts > 1, "it was started again")
        life.proxy.relent()
        life.scene.create_job("after")
        life.scene.reaches("Checking", "after")
        assert [asked.path for asked in life.proxy.written[written:] if "before" in asked.path] == []


def test_two_operators_at_once_without_an_election(mortal, faultless):
    """They get in each other's way, and never start two gangs."""
    with mortal(second=True) as life:
        live(life.scene)
        ends_like(life.scene, faultless)
        assert made(life.scene) == sorted(ATTEMPTS)
        assert (life.operator.starts, life.second.starts) == (1, 1)
