"""A life under the real Kueue, with its webhooks, on a real API server; the kubelet is played. Skipped unless `TUNEWRIGHT_KUEUE` names it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import kueue
import pytest
from kueue import Kueue
from scene import CLAIM, JOB, SPEC
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright_contract.reports import Failure, dump

BATCH = "batch/v1"
QUEUE = {"kueue.x-k8s.io/queue-name": "team-a"}
NODE = "spot-1"


@pytest.fixture(scope="module")
def queues(control_plane: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kueue]:
    """Kueue, which also stops Jobs without a queue, and a node that is only an object."""
    source = kueue.source()
    nodes = control_plane.api.dynamic.resources.get(api_version="v1", kind="Node")
    nodes.create(body={"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": kueue.NODES}})
    with Kueue(control_plane, source, tmp_path_factory.mktemp("kueue"), manageJobsWithoutQueueName=True) as started:
        yield started
    nodes.delete(name=NODE, body={})


def create(scene: Any, **labels: str) -> None:
    for claim in ("base", "corpora"):
        manifest = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim}, "spec": CLAIM}
        assert scene.api.create(manifest, scene.namespace, keep=True).accepted
    made = scene.api.create(
        {"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "bot", "labels": labels}, "spec": SPEC}, scene.namespace, keep=True
    )
    assert made.accepted, made.message


def change(scene: Any, **spec: Any) -> None:
    tune = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    tune.patch(name="bot", namespace=scene.namespace, body={"spec": spec}, content_type="application/merge-patch+json")


def says(scene: Any, reason: str, words: str) -> None:
    def told() -> bool:
        return scene.status().get("reason") == reason and words in scene.status()["message"]

    until(told, f"{reason}: {words}; the status is {scene.status().get('reason')}: {scene.status().get('message')}")


def start(scene: Any, component: str, count: int = 1) -> None:
    """Bind a stage's pods and let them run: a pod with a node ends when its kubelet reports it."""
    pods = scene.api.dynamic.resources.get(api_version="v1", kind="Pod")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    container = {
        "name": component,
        "image": "i",
        "imageID": "i",
        "restartCount": 0,
        "ready": True,
        "state": {"running": {"startedAt": now}},
    }
    for pod in scene.kubelet.wait_for(component, count):
        name = pod["metadata"]["name"]
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
        scene.api.dynamic.request("post", f"/api/v1/namespaces/{scene.namespace}/pods/{name}/binding", body=binding)
        status = {"phase": "Running", "containerStatuses": [container]}
        pods.status.patch(name=name, namespace=scene.namespace, body={"status": status}, content_type="application/merge-patch+json")
    says(scene, "Running", "is running")


def let_go(scene: Any, count: int) -> None:
    """End workers in deletion, as after a save."""
    pods = scene.api.dynamic.resources.get(api_version="v1", kind="Pod")

    def going() -> Sequence[Mapping[str, Any]]:
        return [pod for pod in scene.kubelet.pods("trainer") if pod["metadata"].get("deletionTimestamp")]

    until(lambda: len(going()) == count, "all workers are told to go")
    last = dump(Failure(reason="Stopped", message="it was asked to stop, and has saved step 40"))
    ended = {"exitCode": 143, "message": last, "reason": "Error", "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    container = {"name": "trainer", "image": "i", "imageID": "i", "restartCount": 0, "ready": False, "state": {"terminated": ended}}
    for pod in going():
        where = {"name": pod["metadata"]["name"], "namespace": scene.namespace}
        status = {"phase": "Failed", "containerStatuses": [container]}
        pods.status.patch(**where, body={"status": status}, content_type="application/merge-patch+json")
        pods.delete(**where, body={"gracePeriodSeconds": 0})


def writes_to_jobs(scene: Any, since: int) -> list[str]:
    """Return what the operator wrote to Jobs, besides making them."""
    return [
        f"{event['verb']} {event['requestURI']}"
        for event in scene.asked(since)
        if event["verb"] in ("update", "patch", "delete")
        and event["objectRef"]["resource"] == "jobs"
        and event["responseStatus"]["code"] != 201
    ]


def test_a_gang_waits_for_quota_is_evicted_and_resumes(queues, scene):
    queues.open_queue(scene.namespace, "team-a", cpu="0", memory="0")
    since = scene.audit.end()
    create(scene, **QUEUE)
    says(scene, "Queued", "check waits for its queue to admit it")

    queues.grant(scene.namespace, cpu="1", memory="4Gi")
    start(scene, "checker")
    scene.kubelet.end("checker", CHECKED)
    says(scene, "Queued", "train waits for its queue to admit it")  # two workers, a CPU each

    queues.grant(scene.namespace, cpu="2", memory="64Gi")  # an export of four billion parameters takes 43 of them
    start(scene, "trainer", 2)
    pod = scene.get(BATCH, "Job", "bot-train-0")["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == kueue.NODES
    assert kueue.TOLERATION in pod["tolerations"]

    queues.stop_queue(scene.namespace, "HoldAndDrain")
    says(scene, "Evicting", "its pods save and end")
    let_go(scene, 2)
    says(scene, "Queued", "train waits for its queue to admit it")

    change(scene, suspend=True)
    says(scene, "HeldByQueue", "spec.active: false on their Workloads")
    assert scene.status()["phase"] == "Queued"
    change(scene, suspend=False)
    says(scene, "Queued", "train waits for its queue to admit it")

    queues.stop_queue(scene.namespace, "None")
    start(scene, "trainer", 2)
    assert scene.status()["attempts"] == 1
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    scene.reaches("Complete")
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-export", "bot-train-0"]
    assert writes_to_jobs(scene, since) == []


def test_a_namespaces_default_queue_takes_a_job_without_a_queue(queues, scene):
    queues.open_queue(scene.namespace, "default", cpu="4", memory="64Gi")
    since = scene.audit.end()
    create(scene)
    scene.kubelet.end("checker", CHECKED)
    start(scene, "trainer", 2)
    assert scene.get(BATCH, "Job", "bot-train-0")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "default"

    change(scene, suspend=True)
    says(scene, "HeldByQueue", "train is running, unchanged: spec.suspend")
    change(scene, suspend=False, workers={"replicas": 1})
    says(scene, "HeldByQueue", "set it back to 2")
    assert scene.status()["phase"] == "Training"
    change(scene, workers={"replicas": 2})
    says(scene, "Running", "train is running")
    assert writes_to_jobs(scene, since) == []


def test_a_job_without_a_queue_waits_if_kueue_manages_all_jobs(queues, scene):
    queues.open_queue(scene.namespace, "team-a", cpu="4", memory="64Gi")
    since = scene.audit.end()
    create(scene)
    says(scene, "Queued", "check waits for its queue to admit it")
    jobs = scene.api.dynamic.resources.get(api_version=BATCH, kind="Job")

    def assign(name: str) -> None:
        body = {"metadata": {"labels": QUEUE}}
        jobs.patch(name=name, namespace=scene.namespace, body=body, content_type="application/merge-patch+json")

    assign("bot-check")
    scene.kubelet.end("checker", CHECKED)
    says(scene, "Queued", "train waits for its queue to admit it")
    assign("bot-train-0")
    start(scene, "trainer", 2)
    assert writes_to_jobs(scene, since) == []
