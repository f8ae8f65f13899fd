"""An update of the servers on a real API server: surged, and rolled back by itself when its answer is wrong or never comes."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.plan.label_names import REFUSED, SERVING_REVISION
from tunewright_contract.reports import Failure

WRONG = Failure(reason="SmokeTestFailed", message="asked 'Hi', the model answered nothing", suggestion="Train it.")
JOB = ("tunewright.io/v1alpha1", "FineTuneJob", "bot")
DEPLOYMENT = ("apps/v1", "Deployment", "bot-serve")


def patch(scene: Any, kind: Sequence[str], body: Mapping[str, Any]) -> None:
    resource = scene.api.dynamic.resources.get(api_version=kind[0], kind=kind[1])
    resource.patch(name=kind[2], namespace=scene.namespace, body=body, content_type="application/merge-patch+json")


def ask(scene: Any, **serving: Any) -> None:
    patch(scene, JOB, {"spec": {"serving": serving}})


def image(scene: Any) -> str:
    deployment = scene.get(*DEPLOYMENT)
    return str(deployment["spec"]["template"]["spec"]["containers"][0]["image"]) if deployment else ""


def revision(scene: Any, *, of: str) -> str:
    """Return the revision whose servers have this image, once the Deployment has it."""
    until(lambda: image(scene) == of, f"the Deployment asks for {of}")
    return str(scene.get(*DEPLOYMENT)["spec"]["template"]["metadata"]["annotations"][SERVING_REVISION])


def servers(scene: Any) -> dict[str, str]:
    """Return the servers that are there: uid -> revision."""
    return {pod["metadata"]["uid"]: pod["metadata"]["annotations"][SERVING_REVISION] for pod in scene.kubelet.pods("server")}


@pytest.fixture
def serving(scene: Any) -> Any:
    """A job that is served by one server."""
    scene.create_job(serving={"replicas": 1, "image": "server:1"})
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    scene.kubelet.serve_revision(revision(scene, of="server:1"))
    scene.reaches("Serving")
    until(lambda: scene.status()["serving"].get("revision"), "its revision is known to be good")
    return scene


def test_an_update_starts_the_new_server_before_draining_the_old(serving):
    first, (old,) = serving.status()["serving"]["revision"], servers(serving)
    ask(serving, image="server:2")
    second = revision(serving, of="server:2")
    until(lambda: second in servers(serving).values(), "a new server is started")
    assert old in servers(serving)  # beside the old one
    assert serving.reaches("Deploying")["serving"]["revision"] == first
    serving.kubelet.serve_revision(second)
    until(lambda: old not in servers(serving), "the old one leaves when the new one is ready")
    status = serving.reaches("Serving")
    assert (status["serving"]["revision"], status["serving"]["previousRevision"]) == (second, first)


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "the operator is killed before it hears of it"])
def test_an_update_that_answers_wrongly_is_rolled_back_without_touching_old_servers(serving, killed):
    first, before = serving.status()["serving"]["revision"], servers(serving)
    ask(serving, image="server:broken")
    broken = revision(serving, of="server:broken")
    until(lambda: broken in servers(serving).values(), "a new server is started")
    if killed:
        serving.operator.kill()
    serving.kubelet.refuse_revision(broken, WRONG)
    if killed:
        serving.operator.start()
    until(lambda: serving.status().get("reason") == "RolledBack", "it is rolled back")
    status = serving.status()
    assert status["phase"] == "Serving"
    assert (status["serving"]["revision"], status["serving"]["rolledBackRevision"]) == (first, broken)
    assert status["failure"]["reason"] == "SmokeTestFailed"
    assert status["observedGeneration"] == serving.get(*JOB)["metadata"]["generation"]
    assert revision(serving, of="server:1") == first
    until(lambda: servers(serving) == before, "the very servers of before are there, and no others")
    events = serving.api.dynamic.resources.get(api_version="v1", kind="Event").get(namespace=serving.namespace).to_dict()["items"]
    assert [event["type"] for event in events if event["reason"] == "RolledBack"] == ["Warning"]

    serving.look_again("settle", "server")
    since = serving.audit.end()
    serving.operator.kill()
    serving.operator.start()
    until(lambda: serving.operator.reconciles() >= 1, "the operator has looked after its restart")
    serving.look_again("again", "server")
    assert serving.writes(since) == []  # it stays so, and nothing goes back and forth

    ask(serving, image="server:mended")
    mended = revision(serving, of="server:mended")
    serving.kubelet.serve_revision(mended)
    until(lambda: serving.status()["serving"].get("previousRevision") == first and serving.status()["reason"] == "Serving", "it serves")
    assert "rolledBackRevision" not in serving.status()["serving"]


def test_unready_servers_are_rolled_back_and_retried_after_the_refusal_is_removed(serving):
    first, before = serving.status()["serving"]["revision"], servers(serving)
    ask(serving, image="server:late", progressDeadlineSeconds=30)  # the shortest there may be
    late = revision(serving, of="server:late")
    until(lambda: late in servers(serving).values(), "a new server is started, and nobody makes it ready")
    until(lambda: serving.status().get("reason") == "RolledBack", "the Deployment's controller has lost patience with it", patience=150)
    status = serving.status()
    assert (status["phase"], status["failure"]["reason"]) == ("Serving", "ProgressDeadlineExceeded")
    assert "progressDeadlineSeconds" in status["failure"]["suggestion"]
    assert (status["serving"]["revision"], status["serving"]["rolledBackRevision"]) == (first, late)
    assert {"type": "Stalled", "status": "True", "reason": "RolledBack"}.items() <= status["conditions"][1].items()
    until(lambda: servers(serving) == before, "the very servers of before are there, and no others")

    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "one-server"}, "spec": {"hard": {"pods": "1"}}}
    assert serving.api.create(quota, serving.namespace, keep=True).accepted
    in_force = {"hard": {"pods": "1"}, "used": {"pods": "1"}}
    until(lambda: serving.get("v1", "ResourceQuota", "one-server").get("status") == in_force, "the quota is in force, and used up")
    ask(serving, progressDeadlineSeconds=900)
    until(lambda: serving.get(*DEPLOYMENT)["spec"]["progressDeadlineSeconds"] == 900, "it gets all the time it needs")
    patch(serving, DEPLOYMENT, {"metadata": {"annotations": {REFUSED: None}}})
    assert revision(serving, of="server:late") == late
    until(lambda: (serving.status().get("failure") or {}).get("reason") == "QuotaExceeded", "the status has the Deployment's words")
    status = serving.status()
    assert (status["phase"], status["serving"]["revision"]) == ("Deploying", first)
    assert "exceeded quota: one-server" in status["failure"]["message"]
    assert servers(serving) == before
    serving.api.delete("v1", "ResourceQuota", "one-server", serving.namespace)
    serving.kubelet.serve_revision(late)
    until(lambda: serving.status()["serving"].get("revision") == late and serving.status()["reason"] == "Serving", "it serves")
    assert serving.status().get("failure") is None


def train(scene: Any, name: str) -> str:
    """Create a job without a server, let it end well, and return its model's revision."""
    scene.create_job(name)
    scene.kubelet.end("checker", CHECKED, job=name)
    scene.kubelet.end("trainer", TRAINED, count=2, job=name)
    scene.kubelet.end("exporter", EXPORTED, job=name)
    return str(scene.reaches("Complete", name)["revision"])


def serving_revision(scene: Any, model: str) -> str:
    """Return the Deployment's revision, once that is one of this model."""
    until(lambda: asked_for(scene).startswith(f"{model}-"), f"the Deployment asks for model {model}", patience=120)
    return asked_for(scene)


def asked_for(scene: Any) -> str:
    return str(scene.get(*DEPLOYMENT)["spec"]["template"]["metadata"]["annotations"][SERVING_REVISION])


def claims_of_servers(scene: Any) -> set[str]:
    volumes = [volume for pod in scene.kubelet.pods("server") for volume in pod["spec"]["volumes"]]
    return {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if "persistentVolumeClaim" in volume}


def test_a_retrained_model_is_served_and_stays_when_its_job_is_deleted_or_created_again(serving):
    own, before = serving.status()["serving"]["revision"], servers(serving)
    ask(serving, modelRef={"name": "next"})
    until(lambda: serving.status().get("reason") == "ReferenceMissing", "it waits for a job that is not there yet")
    status = serving.status()
    assert (status["phase"], status["serving"]["revision"]) == ("Deploying", own)
    assert "spec.serving.modelRef.name: FineTuneJob next: there is no such job" in status["message"]
    assert servers(serving) == before

    new = serving_revision(serving, train(serving, "next"))
    until(lambda: new in servers(serving).values(), "a new server is started")
    assert before.items() <= servers(serving).items()  # beside the old one
    serving.kubelet.serve_revision(new)
    until(lambda: set(servers(serving).values()) == {new}, "the old one leaves when the new one is ready")
    status = serving.reaches("Serving")
    assert (status["serving"]["revision"], status["serving"]["previousRevision"]) == (new, own)
    assert claims_of_servers(serving) == {"next-output"}

    serving.api.delete(*JOB[:2], "next", serving.namespace)
    until(lambda: serving.get(*JOB[:2], "next") is None, "that job is gone")
    ask(serving, replicas=2)
    until(lambda: len(servers(serving)) == 2, "the servers follow their job")
    assert set(servers(serving).values()) == {new}
    serving.kubelet.serve_revision(new)
    serving.reaches("Serving")

    again = serving_revision(serving, train(serving, "next"))  # with what it published before still in its claim
    assert again != new
    until(lambda: again in servers(serving).values(), "a server has the newest model")
    assert new in servers(serving).values()
