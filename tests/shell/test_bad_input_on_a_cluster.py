"""Bad input of every kind at once, on a real API server: each job's status names its fault, and a good job beside them is served."""

import copy
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from namespaces import new_namespace
from operator_nursery import ForkedOperator
from ruamel.yaml import YAML
from scene import CLAIM, CRDS, JOB, SPEC
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

NOBODY = "tunewright-test-nobody"  # a priority class whose quota is zero
LONG = "a" * 63
PROMISED_SECONDS = 60  # until the status of a job has its problem
HUB = {"source": {"huggingFace": {"repo": "acme/base", "revision": "0" * 40, "tokenSecretRef": {"name": "hub", "key": "token"}}}}
IN_A_CONFIG_MAP = {"train": [{"source": {"configMap": {"name": "few", "key": "train.jsonl"}}}]}
# A job that waits for an object -> that object.
LATE = {
    "no-claim": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "nowhere"}, "spec": CLAIM},
    "no-account": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "late"}},
    "no-pull-secret": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "nothing"}, "stringData": {".dockerconfigjson": "{}"}},
    "no-token": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "stringData": {"token": "t"}},
    "no-key": {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keyless"}, "stringData": {"token": "t"}},
}


@pytest.fixture
def quota(scene: Any) -> Iterator[None]:
    """A quota of no pods at all, for pods of one priority class."""
    made = scene.api.create(
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": NOBODY}, "value": 0}, keep=True
    )
    assert made.accepted, made.message
    selector = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": [NOBODY]}]}
    none = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}, "scopeSelector": selector},
    }
    assert scene.api.create(none, scene.namespace, keep=True).accepted
    until(lambda: (scene.get("v1", "ResourceQuota", "none")["status"] or {}).get("hard"), "the quota is in force")
    yield
    scene.api.delete("scheduling.k8s.io/v1", "PriorityClass", NOBODY)


def workers(**more: Any) -> dict[str, Any]:
    return {"workers": SPEC["workers"] | more}


def says(scene: Any, job: str, reason: str, *words: str) -> None:
    """Wait until a job's status names a reason, and these words."""

    def told() -> bool:
        failure = scene.status(job).get("failure") or {}
        return failure.get("reason") == reason and all(word in f"{failure['message']} {failure.get('suggestion')}" for word in words)

    until(told, f"{job} says {reason}: {words}; it says {scene.status(job).get('failure')}")
    assert seconds_until_told(scene, job, reason) <= PROMISED_SECONDS


def seconds_until_told(scene: Any, job: str, reason: str) -> float:
    """Return the time from a job's creation to the Event with this reason, by the API server's clock."""
    events = scene.api.dynamic.resources.get(api_version="v1", kind="Event")
    uid = scene.get(*JOB, job)["metadata"]["uid"]

    def told() -> list[datetime]:
        about = events.get(namespace=scene.namespace, field_selector=f"involvedObject.uid={uid},reason={reason}").to_dict()["items"]
        return [moment(event) for event in about]

    return (min(until(told, f"an Event tells of {reason}")) - moment(scene.get(*JOB, job))).total_seconds()


def moment(stored: Any) -> datetime:
    return datetime.fromisoformat(stored["metadata"]["creationTimestamp"])


def test_every_invalid_job_reports_its_problem_and_a_valid_one_is_served(scene, quota):
    large = {"model": SPEC["model"] | {"chatTemplate": {"jinja": "{# " + "x" * 60_000 + " #}"}}}
    large |= workers(env=[{"name": f"PAD_{number}", "value": "x" * 3000} for number in range(50)])
    scene.create_job("no-claim", output={"storage": {"claimName": "nowhere"}})
    scene.create_job("no-account", **workers(serviceAccountName="late"))
    scene.create_job("no-pull-secret", **workers(imagePullSecrets=["nothing"]))
    scene.create_job("no-token", model=HUB)
    assert scene.api.create(LATE["no-key"] | {"stringData": {"another": "t"}}, scene.namespace, keep=True).accepted
    scene.create_job(
        "no-key", model={"source": {"huggingFace": HUB["source"]["huggingFace"] | {"tokenSecretRef": {"name": "keyless", "key": "token"}}}}
    )
    scene.create_job("config-map", data=IN_A_CONFIG_MAP)
    scene.create_job("no-image", **workers(image="no.example/such:image"))
    scene.create_job("too-large")
    scene.create_job("lost-node")
    scene.create_job("no-quota", **workers(priorityClassName=NOBODY))
    scene.create_job("no-class", **workers(priorityClassName="gold-that-is-not-there"))
    scene.create_job("one-pod", output={"storage": {"accessModes": ["ReadWriteOncePod"]}})
    scene.create_job(LONG)
    scene.create_job("large", **large)
    scene.create_job("twin-a", serving={"servedModelName": "twin"}, output={"destinations": [{"pvc": {"claimName": "base"}}]})
    scene.create_job("twin-b", serving={"servedModelName": "twin"}, output={"destinations": [{"pvc": {"claimName": "base"}}]})
    scene.create_job("good", serving={"replicas": 1})

    scene.kubelet.hinder("checker", waiting={"reason": "ErrImagePull", "message": "no.example/such:image: not found"}, job="no-image")
    scene.kubelet.hinder("checker", unscheduled="0/3 nodes are available: 3 Insufficient cpu.", job="too-large")
    scene.kubelet.lose("checker", node="gone", job="lost-node")
    says(scene, "lost-node", "NodeNotReady", "node gone of pod lost-node-check", "out-of-service")
    for component, report, count in (("checker", CHECKED, 1), ("trainer", TRAINED, 2), ("exporter", EXPORTED, 1)):
        scene.kubelet.end(component, report, count=count, job="good")
    scene.kubelet.serve()
    scene.reaches("Serving", "good")

    says(scene, "no-claim", "ReferenceMissing", "nowhere", "spec.output.storage.claimName", "create it")
    says(scene, "no-account", "ReferenceMissing", "late", "spec.workers.serviceAccountName", "create serviceaccount")
    says(scene, "no-pull-secret", "ReferenceMissing", "nothing", "spec.workers.imagePullSecrets[0]", "create secret")
    says(scene, "no-token", "ReferenceMissing", "hub", "spec.model.source.huggingFace.tokenSecretRef", "create secret")
    says(scene, "no-key", "ReferenceMissing", "keyless", "it has no key token")
    says(scene, "config-map", "InvalidSpec", "spec.data.train[0].source.configMap", "Copy the file into a claim and use pvc")
    says(scene, "no-image", "ImagePullBackOff", "no.example/such:image", "imagePullSecrets")
    says(scene, "too-large", "Unschedulable", "Insufficient cpu", "request less")
    says(scene, "no-quota", "QuotaExceeded", "exceeded quota: none", "Request less")
    says(scene, "no-class", "PodsRefused", "gold-that-is-not-there")
    says(scene, "one-pod", "VolumeNotShared", "ReadWriteOncePod", "ReadWriteMany")
    for job in (LONG, "large", "twin-a", "twin-b"):
        assert scene.reaches("Checking", job).get("failure") is None, job

    for manifest in LATE.values():
        assert scene.api.apply(manifest, scene.namespace, keep=True).accepted
    for job in LATE:
        assert scene.reaches("Checking", job).get("failure") is None, job  # what was late is there: it continues by itself
    assert scene.operator.reconciles("bug") == 0


def test_the_api_server_refuses_invalid_names_and_sizes(scene):
    for name, words in (("a" * 64, "at most 63 characters"), ("a" * 253, "at most 63 characters"), ("a.b", "DNS label")):
        refused = scene.api.create({"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": name}, "spec": SPEC}, scene.namespace)
        assert not refused.accepted
        assert words in refused.message


def test_a_stored_job_that_is_no_longer_valid_is_reported(scene):
    (committed,) = [YAML(typ="safe").load(path) for path in CRDS.glob("*.yaml")]
    older = copy.deepcopy(committed)
    (version,) = older["spec"]["versions"]
    properties = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del properties["backoffLimit"]["maximum"]
    properties["formerField"] = {"type": "string"}
    try:
        assert scene.api.apply(older, keep=True).accepted
        job = {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "old"}, "spec": SPEC | {"backoffLimit": 1000, "formerField": "x"}}
        until(lambda: scene.api.create(job, scene.namespace, strict=False).accepted, "the older definition is in force")
        scene.create_job("good")
        assert scene.api.create(job, scene.namespace, keep=True).accepted
    finally:
        assert scene.api.apply(committed, keep=True).accepted
    says(scene, "old", "InvalidSpec", "backoffLimit")
    scene.reaches("Checking", "good")
    assert scene.status("old")["phase"] == "Failed"
    assert scene.operator.reconciles("bug") == 0


def test_deleting_a_namespace_deletes_only_its_jobs(make_scene, control_plane, namespace, nursery, tmp_path: Path):
    doomed = new_namespace(control_plane.api)
    going = next(doomed)
    with ForkedOperator(nursery, control_plane.kubeconfig, f"{namespace},{going}", tmp_path) as operator:
        scene = make_scene(operator)
        there = copy.copy(scene)
        object.__setattr__(there, "namespace", going)
        there.create_job("mid-run")
        there.reaches("Checking", "mid-run")
        next(doomed, None)  # deletes it
        scene.create_job("good")
        scene.reaches("Checking", "good")
        until(lambda: control_plane.api.get("v1", "Namespace", going) is None, "the namespace is gone: nobody makes again what was in it")
        scene.look_again("after")
        assert operator.reconciles("bug") == 0
        assert not operator.ended()


def test_the_operator_never_reverts_kueues_suspend(scene):
    queue = {"kueue.x-k8s.io/queue-name": "team-a"}
    for claim in ("base", "corpora"):
        assert scene.api.create(
            {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": CLAIM}, scene.namespace, keep=True
        ).accepted
    queued = {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "bot", "labels": queue}, "spec": SPEC}
    assert scene.api.create(queued, scene.namespace, keep=True).accepted
    job = until(lambda: scene.get("batch/v1", "Job", "bot-check"), "the Job is there")
    assert job["metadata"]["labels"].items() >= queue.items()
    assert "f:suspend" not in str(job["metadata"]["managedFields"]), "suspend is Kueue's to say"

    jobs = scene.api.dynamic.resources.get(api_version="batch/v1", kind="Job")
    bot = {"name": "bot-check", "namespace": scene.namespace, "content_type": "application/merge-patch+json", "field_manager": "kueue"}

    def kueue(spec: dict[str, Any]) -> None:
        jobs.patch(body={"spec": spec}, **bot)

    def is_suspended() -> bool:
        conditions = scene.get("batch/v1", "Job", "bot-check")["status"].get("conditions") or ()
        return any((condition["type"], condition["status"]) == ("Suspended", "True") for condition in conditions)

    kueue({"suspend": True})  # as its webhook does when the Job is made
    told = ("Queued", "Queued", "check waits for its queue to admit it")
    until(lambda: tuple(scene.status().get(field) for field in ("phase", "reason", "message")) == told, "the status says whom it waits for")
    until(is_suspended, "the Job's controller has stopped it")
    # The API server lets a Job be given nodes only while it has not started: Kueue takes the time of its start back.
    jobs.status.patch(body={"status": {"startTime": None}}, **bot)
    written = scene.audit.end()
    # Admission: nodes of a flavour, and then the word to start.
    toleration = {"key": "spot", "operator": "Exists"}
    kueue(
        {
            "template": {
                "spec": {
                    "nodeSelector": {"pool": "spot"},
                    "tolerations": [toleration],
                    "schedulingGates": [{"name": "kueue.x-k8s.io/topology"}],
                }
            }
        }
    )
    kueue({"suspend": False})
    scene.reaches("Checking")
    scene.kubelet.wait_for("checker")
    scene.look_again("once")
    scene.look_again("twice")
    stored = scene.get("batch/v1", "Job", "bot-check")
    assert stored["spec"]["suspend"] is False
    assert stored["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "spot"}
    assert toleration in stored["spec"]["template"]["spec"]["tolerations"]
    assert [write for write in scene.writes(written) if "/jobs/" in write] == []


def test_the_operator_never_reverts_a_default_queues_suspend(scene):
    """As Kueue 0.16 does: a namespace's own queue labels each Job that is made, and `manageJobsWithoutQueueName` stops it without a label."""
    jobs = scene.api.dynamic.resources.get(api_version="batch/v1", kind="Job")
    tune = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])

    def change(of: Any, name: str, patch: Mapping[str, Any], manager: str) -> None:
        of.patch(name=name, namespace=scene.namespace, body=patch, content_type="application/merge-patch+json", field_manager=manager)

    def refused() -> list[Any]:
        return [found for found in scene.status().get("conditions", ()) if found["type"] == "ChangeRefused"]

    scene.create_job()
    until(lambda: scene.get("batch/v1", "Job", "bot-check"), "the Job is there")
    change(jobs, "bot-check", {"metadata": {"labels": {"kueue.x-k8s.io/queue-name": "default"}}}, "kueue")
    change(tune, "bot", {"spec": {"suspend": True}}, "kubectl-patch")
    (told,) = until(refused, "the change is refused")
    assert told["reason"] == "HeldByQueue"
    assert all(words in told["message"] for words in ("spec.suspend", "spec.active: false"))
    assert (scene.status()["phase"], scene.status()["reason"], scene.status().get("failure")) == ("Checking", "HeldByQueue", None)
    change(tune, "bot", {"spec": {"suspend": False}}, "kubectl-patch")
    until(lambda: not refused(), "nothing is refused any more")

    scene.kubelet.end("checker", CHECKED)
    made = until(lambda: scene.get("batch/v1", "Job", "bot-train-0"), "the gang is there")
    assert "f:suspend" not in str(made["metadata"]["managedFields"]), "what a webhook makes of it then is nobody's"
    written = scene.audit.end()
    change(jobs, "bot-train-0", {"metadata": {"managedFields": [{}]}, "spec": {"suspend": True}}, "kueue")
    told = ("Queued", "train waits for its queue to admit it")
    until(lambda: tuple(scene.status().get(field) for field in ("reason", "message")) == told, "the status says whom it waits for")
    change(jobs, "bot-train-0", {"spec": {"suspend": False}}, "kueue")
    scene.reaches("Training")
    change(jobs, "bot-train-0", {"spec": {"suspend": True}}, "kueue")  # evicted, by name
    scene.reaches("Queued")
    assert scene.status()["attempts"] == 1
    assert [write for write in scene.writes(written) if "/jobs/" in write] == []
