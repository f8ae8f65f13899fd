"""Pods that a user deletes, on a real API server with the real Job controller: no attempt is charged."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from kubernetes.dynamic.exceptions import NotFoundError
from operator_nursery import ForkedOperator, Nursery
from scene import Scene
from stage_scenes import BATCH, MERGE, to_export, to_training, uid
from status_builders import EXPORTED, TRAINED
from waiting import until

from tunewright.plan.label_names import DISRUPTED, FAILURES
from tunewright_contract.reports import Failure, dump

NODE = "node-of-deleted-pods"
LOST = Failure(reason="PeerLost", message="a rank is gone", suggestion="Nothing to do.")
SAVED = Failure(reason="Stopped", message="it has saved step 40", suggestion="Nothing to do.")
FULL = Failure(reason="DiskFull", message="no space left on device", suggestion="Free space.")


@pytest.fixture(scope="module")
def scene(
    control_plane: Any, definition: None, shared_namespace: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One operator for the jobs of all tests, and a node that is only an object: a pod with a node waits for its kubelet."""
    nodes = control_plane.api.dynamic.resources.get(api_version="v1", kind="Node")
    nodes.create(body={"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    with ForkedOperator(nursery, control_plane.kubeconfig, shared_namespace, tmp_path_factory.mktemp("deleted")) as operator:
        kubelet = FakeKubelet(control_plane.api, shared_namespace)
        yield Scene(api=control_plane.api, namespace=shared_namespace, operator=operator, kubelet=kubelet, audit=control_plane.audit)
    nodes.delete(name=NODE, body={})


def pods(scene: Scene) -> Any:
    return scene.api.dynamic.resources.get(api_version="v1", kind="Pod")


def start(scene: Scene, component: str, job: str, count: int = 1) -> list[str]:
    """Bind a stage's pods and let them run; return their names."""
    found = [pod["metadata"]["name"] for pod in scene.kubelet.wait_for(component, count, job=job)]
    for name in found:
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": NODE}}
        scene.api.dynamic.request("post", f"/api/v1/namespaces/{scene.namespace}/pods/{name}/binding", body=binding)
    scene.kubelet.serve(component, count=count, job=job)
    return found


def delete(scene: Scene, pod: str, *, force: bool) -> None:
    pods(scene).delete(name=pod, namespace=scene.namespace, body={"gracePeriodSeconds": 0} if force else {})


def end(scene: Scene, pod: str, component: str, report: Failure, code: int) -> None:
    """End one pod. If it is being deleted, its kubelet then removes it."""
    message, ended = dump(report), "2026-01-01T10:00:00Z"  # long ago: the Job controller waits after a recent failure
    state = {"terminated": {"exitCode": code, "message": message, "reason": "Error", "finishedAt": ended}}
    container = {"name": component, "image": "i", "imageID": "i", "restartCount": 0, "ready": False, "state": state}
    where = {"name": pod, "namespace": scene.namespace}
    leaves = bool(pods(scene).get(**where).metadata.deletionTimestamp)
    pods(scene).status.patch(**where, body={"status": {"phase": "Failed", "containerStatuses": [container]}}, content_type=MERGE)
    if leaves:
        with suppress(NotFoundError):  # deleted with force, it is gone when the Job controller has counted it
            pods(scene).delete(**where, body={"gracePeriodSeconds": 0})


@pytest.mark.parametrize("force", [False, True], ids=["gracefully", "with force"])
def test_a_deleted_rank_costs_no_attempt(scene, force):
    job = f"d{int(force)}"
    to_training(scene, job, backoffLimit=0)
    first, second = start(scene, "trainer", job, 2)
    delete(scene, second, force=force)
    until(lambda: DISRUPTED in scene.get(BATCH, "Job", f"{job}-train-0")["metadata"]["annotations"], "the deletion is recorded")
    end(scene, first, "trainer", LOST, 75)  # its peer shows the loss before the deleted pod has ended
    end(scene, second, "trainer", SAVED, 143)
    until(lambda: uid(scene, f"{job}-train-1"), "the next attempt is made")
    assert scene.get(BATCH, "Job", f"{job}-train-1")["metadata"]["annotations"][FAILURES] == "0"
    scene.kubelet.end("trainer", TRAINED, count=2, attempt=1, job=job)
    scene.reaches("Exporting", job)


def test_a_rank_that_fails_by_itself_is_charged_although_another_is_deleted(scene):
    to_training(scene, "d2", backoffLimit=0)
    first, second = start(scene, "trainer", "d2", 2)
    delete(scene, second, force=False)
    until(lambda: DISRUPTED in scene.get(BATCH, "Job", "d2-train-0")["metadata"]["annotations"], "the deletion is recorded")
    end(scene, first, "trainer", FULL, 75)
    end(scene, second, "trainer", SAVED, 143)
    assert scene.reaches("Failed", "d2")["failure"]["reason"] == "DiskFull"


@pytest.mark.parametrize("force", [False, True], ids=["gracefully", "with force"])
def test_an_export_is_made_again_after_more_deletions_than_it_has_retries(scene, force):
    job = f"e{int(force)}"
    to_export(scene, job)
    before, deleted = uid(scene, f"{job}-export"), 0
    while uid(scene, f"{job}-export") == before and deleted < 5:
        (pod,) = start(scene, "exporter", job)
        delete(scene, pod, force=force)
        end(scene, pod, "exporter", SAVED, 143)
        deleted += 1
        until(lambda gone=pod: any(each["metadata"]["name"] != gone for each in scene.kubelet.pods("exporter", job=job)), "another pod")
    assert deleted == 3  # more than its retries
    scene.kubelet.end("exporter", EXPORTED, job=job)
    scene.reaches("Complete", job)
