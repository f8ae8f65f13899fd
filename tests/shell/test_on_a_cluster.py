"""The operator on a real API server: from `kubectl apply` to a served model, and whatever people and fate do in between."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from operator_process import OperatorProcess, kubeconfig_of_its_own
from scene import JOB
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright_contract.reports import Failure

BATCH, APPS, NET = "batch/v1", "apps/v1", "networking.k8s.io/v1"
LOST = Failure(reason="PeerLost", message="rank 1 did not answer")


class Restless(OperatorProcess):
    """An operator that goes over everything each second, as others do in ten minutes."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_RESYNC_SECONDS": "1"}


@pytest.fixture
def restless_scene(make_scene: Any, control_plane: Any, namespace: str, tmp_path: Path) -> Iterator[Any]:
    with Restless(kubeconfig_of_its_own(control_plane, namespace), namespace, tmp_path) as operator:
        yield make_scene(operator)


def config_of(scene: Any, job: str = "bot-check") -> str:
    """Return the name of the ConfigMap that a Job mounts."""
    mounted = until(lambda: scene.get(BATCH, "Job", job), f"there is {job}")["spec"]["template"]["spec"]["volumes"]
    return str(next(volume["configMap"]["name"] for volume in mounted if volume["name"] == "config"))


def run_to_export(scene: Any) -> None:
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)


def test_a_job_is_served_and_causes_no_further_writes(restless_scene):
    scene = restless_scene
    job = scene.create_job(serving={"replicas": 1})
    scene.reaches("Checking")
    assert scene.names(BATCH, "Job") == ["bot-check"]  # nothing takes an accelerator before the check
    assert set(scene.names("v1", "ConfigMap")) == {config_of(scene), "kube-root-ca.crt"}
    assert "bot-output" in scene.names("v1", "PersistentVolumeClaim")
    scene.kubelet.end("checker", CHECKED)
    scene.reaches("Training")
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.reaches("Exporting")
    scene.kubelet.end("exporter", EXPORTED)
    scene.reaches("Deploying")
    scene.kubelet.serve()
    status = scene.reaches("Serving")
    assert status["observedGeneration"] == job["metadata"]["generation"]
    assert status["serving"]["url"] == f"http://bot-serve.{scene.namespace}.svc"
    assert status["evaluation"]
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-export", "bot-train-0"]

    stored = scene.get("tunewright.io/v1alpha1", "FineTuneJob", "bot")
    assert not stored["metadata"].get("finalizers")
    assert not stored["metadata"].get("annotations")

    scene.resyncs(1)
    assert any("/jobs/bot-train-0" in write for write in scene.writes(0))  # what is counted below is counted at all
    quiet_since = scene.audit.end()
    scene.resyncs(2)
    assert scene.operator.stop() == 0
    scene.operator.start()
    scene.resyncs(2)
    assert scene.writes(quiet_since) == []

    told = {event["reason"] for event in scene.api.list("v1", "Event", scene.namespace) if event["involvedObject"]["name"] == "bot"}
    assert "Serving" in told
    assert told.isdisjoint({"Pending", "Running", "Succeeded"})


def test_manual_edits_and_deletions_of_children_are_reverted(scene):
    scene.create_job()
    scene.reaches("Checking")
    before = scene.get(BATCH, "Job", "bot-check")
    config = scene.get("v1", "ConfigMap", config_of(scene))
    name = config["metadata"]["name"]
    scene.api.delete(BATCH, "Job", "bot-check", scene.namespace)
    scene.api.delete("v1", "ConfigMap", name, scene.namespace)
    scene.api.delete(NET, "NetworkPolicy", "bot-check", scene.namespace)
    until(lambda: (scene.get(BATCH, "Job", "bot-check") or before)["metadata"]["uid"] != before["metadata"]["uid"], "the Job is back")
    until(lambda: (scene.get("v1", "ConfigMap", name) or {}).get("data") == config["data"], "the ConfigMap is back")
    until(lambda: scene.get(NET, "NetworkPolicy", "bot-check"), "the NetworkPolicy is back")

    edited = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"config.json": "{}"}}
    refused = scene.api.replace(edited, scene.namespace, keep=True)
    assert "immutable" in refused.message
    policy = scene.get(NET, "NetworkPolicy", "bot-check")
    opened = {**policy, "spec": policy["spec"] | {"policyTypes": ["Ingress"]}, "metadata": policy["metadata"] | {"resourceVersion": None}}
    assert scene.api.replace(opened, scene.namespace, keep=True).accepted
    until(
        lambda: scene.get(NET, "NetworkPolicy", "bot-check")["spec"]["policyTypes"] == ["Ingress", "Egress"],
        "the policy says again what is rendered",
    )


def test_inputs_that_change_where_no_policy_forbids_it_stop_a_job_until_they_are_restored(scene):
    scene.create_job()
    scene.reaches("Checking")
    since = scene.audit.end()
    change(scene, {"training": {"maxSteps": 7}})
    status = scene.reaches("Failed")
    assert (status["reason"], "Apply the earlier specification again" in status["message"]) == ("InputsChanged", True)
    scene.kubelet.end("checker", CHECKED)  # the Job that runs continues
    scene.look_again("ended")
    assert [write for write in scene.writes(since) if "finetunejobs" not in write and "events" not in write] == []
    change(scene, {"training": None})
    scene.reaches("Training")


def change(scene, spec):
    """Change a job's specification as a user does."""
    resource = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    resource.patch(name="bot", namespace=scene.namespace, body={"spec": spec}, content_type="application/merge-patch+json")


def test_another_owners_object_with_a_childs_name_is_kept_and_reported(scene):
    stranger = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "bot-check", "labels": {"mine": "yes"}},
        "spec": {"podSelector": {"matchLabels": {"a": "b"}}},
    }
    assert scene.api.create(stranger, scene.namespace, keep=True).accepted
    scene.create_job()
    status = scene.reaches("Failed")
    assert status["reason"] == "NameTaken"
    assert "bot-check" in status["message"]
    there = scene.get(NET, "NetworkPolicy", "bot-check")
    assert (there["spec"]["podSelector"]["matchLabels"], there["metadata"]["labels"]) == ({"a": "b"}, {"mine": "yes"})
    scene.create_job("other")
    scene.reaches("Checking", "other")  # other jobs are not affected


def test_deleting_a_job_deletes_only_its_children(scene):
    stranger = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "stranger"}, "data": {"a": "b"}}
    assert scene.api.create(stranger, scene.namespace, keep=True).accepted
    scene.create_job(output={"storage": {"retain": True}})
    scene.create_job("other")
    scene.reaches("Checking")
    scene.reaches("Checking", "other")
    config = config_of(scene)
    scene.api.delete("tunewright.io/v1alpha1", "FineTuneJob", "bot", scene.namespace)
    until(lambda: scene.names(BATCH, "Job") == ["other-check"], "garbage collection takes the Job")
    until(lambda: config not in scene.names("v1", "ConfigMap"), "and the ConfigMap")
    assert {"stranger", config_of(scene, "other-check")} <= set(scene.names("v1", "ConfigMap"))
    assert "bot-output" in scene.names("v1", "PersistentVolumeClaim")  # retained

    scene.create_job(output={"storage": {"retain": True}})  # the next of that name takes the claim on
    scene.reaches("Checking")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("70Gi", {}, id="of a job with a size"),
        pytest.param("20Gi", {}, id="smaller than the default"),
        pytest.param("70Gi", {"size": "60Gi"}, id="larger than the next job's"),
    ],
)
def test_a_retained_claim_keeps_its_size_for_the_next_job_of_that_name(scene, before, after):
    scene.create_job(output={"storage": {"retain": True, "size": before}})
    scene.reaches("Checking")
    scene.api.delete("tunewright.io/v1alpha1", "FineTuneJob", "bot", scene.namespace)
    until(lambda: scene.names(BATCH, "Job") == [], "garbage collection takes the Job")

    scene.create_job(output={"storage": {"retain": True, **after}})
    scene.reaches("Checking")
    assert scene.get("v1", "PersistentVolumeClaim", "bot-output")["spec"]["resources"]["requests"]["storage"] == before


def test_a_job_waits_for_a_missing_claim(scene):
    scene.create_job(output={"storage": {"claimName": "mine"}})
    assert "mine" in scene.reaches("Waiting")["message"]
    assert scene.names(BATCH, "Job") == []


def test_a_gang_that_lost_a_rank_restarts_as_a_whole(scene):
    scene.create_job()
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", LOST, count=2, code=75, attempt=0)
    scene.kubelet.wait_for("trainer", 2, attempt=1)
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-train-0", "bot-train-1"]


def test_an_operator_killed_at_every_stage_completes_the_job(scene):
    scene.create_job(serving={"replicas": 1})
    uids = {}
    for component, report, count in (("checker", CHECKED, 1), ("trainer", TRAINED, 2), ("exporter", EXPORTED, 1)):
        scene.kubelet.wait_for(component, count)
        scene.operator.kill()
        scene.kubelet.end(component, report, count=count)  # while no operator runs
        uids |= {name: scene.get(BATCH, "Job", name)["metadata"]["uid"] for name in scene.names(BATCH, "Job")}
        scene.operator.start()
    scene.kubelet.wait_for("server")
    scene.kubelet.serve()
    scene.reaches("Serving")
    assert {name: scene.get(BATCH, "Job", name)["metadata"]["uid"] for name in scene.names(BATCH, "Job")} == uids  # none was made twice
    assert sorted(uids) == ["bot-check", "bot-export", "bot-train-0"]


def test_a_suspended_job_releases_its_pods_and_can_resume(scene):
    scene.create_job()
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2)
    job = scene.api.dynamic.resources.get(api_version="tunewright.io/v1alpha1", kind="FineTuneJob")

    def say(value: bool) -> None:
        job.patch(name="bot", namespace=scene.namespace, body={"spec": {"suspend": value}}, content_type="application/merge-patch+json")

    say(True)
    scene.reaches("Suspended")
    assert scene.kubelet.pods("trainer") == []
    say(False)
    scene.kubelet.wait_for("trainer", 2)
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-train-0"]


def test_a_changed_number_of_workers_resizes_the_gang(scene):
    scene.create_job(backoffLimit=0)
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2, attempt=0)
    job = scene.api.dynamic.resources.get(api_version="tunewright.io/v1alpha1", kind="FineTuneJob")

    def ask(replicas: int) -> None:
        body = {"spec": {"workers": {"replicas": replicas}}}
        job.patch(name="bot", namespace=scene.namespace, body=body, content_type="application/merge-patch+json")

    ask(3)  # the two examples per step cannot be shared by three
    until(lambda: scene.status().get("reason") == "BatchNotDivisible", "the status says why three will not do")
    assert "use one of 1, 2" in scene.status()["message"]
    assert scene.status()["phase"] == "Training"
    assert len(scene.kubelet.pods("trainer", attempt=0)) == 2, "what trains goes on"
    ask(1)
    scene.kubelet.wait_for("trainer", 1, attempt=1)
    assert scene.kubelet.pods("trainer", attempt=0) == []
    sizes = {name: scene.get(BATCH, "Job", name)["spec"] for name in ("bot-train-0", "bot-train-1")}
    assert {name: (spec["completions"], spec["suspend"]) for name, spec in sizes.items()} == {
        "bot-train-0": (2, True),
        "bot-train-1": (1, False),
    }
    scene.kubelet.end("trainer", TRAINED, attempt=1)
    assert scene.reaches("Exporting")["plan"]["worldSize"] == 1


def test_removing_serving_deletes_the_server_and_keeps_the_model(scene):
    scene.create_job(serving={"replicas": 1})
    run_to_export(scene)
    scene.kubelet.wait_for("server")
    job = scene.api.dynamic.resources.get(api_version="tunewright.io/v1alpha1", kind="FineTuneJob")
    job.patch(name="bot", namespace=scene.namespace, body={"spec": {"serving": None}}, content_type="application/merge-patch+json")
    scene.reaches("Complete")
    until(lambda: scene.names(APPS, "Deployment") == [], "the Deployment is pruned")
    assert "bot-serve" not in scene.names("v1", "Service")
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-export", "bot-train-0"]
    assert "bot-output" in scene.names("v1", "PersistentVolumeClaim")


def test_a_restart_among_many_jobs_writes_nothing(scene):
    names = [f"bot-{number}" for number in range(20)]
    for name in names:
        scene.create_job(name)
    for name in names:
        scene.reaches("Checking", name)
    assert scene.operator.stop() == 0
    settled = scene.audit.end()
    scene.operator.start()
    until(lambda: scene.operator.reconciles() >= len(names), "all have been looked at")
    assert scene.writes(settled) == []
