"""Changed pod settings and retries on a real API server: a stage that waits, is suspended or has failed runs again with them."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from operator_nursery import ForkedOperator, Nursery
from scene import Scene
from stage_scenes import BATCH, change, patch, to_export, to_training, uid
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.plan.label_names import GLOBAL_BATCH_SIZE, RETRY, ZERO_STAGE
from tunewright_contract.exit_codes import ExitCode
from tunewright_contract.reports import Failure

FULL = Failure(reason="DiskFull", message="no space left on device", suggestion="Free space.")
SELECTOR = {"workers": {"nodeSelector": {"pool": "large"}}}
LESS = {"workers": {"resources": {"limits": {"cpu": "100m"}}}}
IMAGE = {"workers": {"image": "registry.example/trainer:2"}}


@pytest.fixture(scope="module")
def scene(
    control_plane: Any, definition: None, shared_namespace: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """One operator for the jobs of all tests."""
    with ForkedOperator(nursery, control_plane.kubeconfig, shared_namespace, tmp_path_factory.mktemp("changed")) as operator:
        kubelet = FakeKubelet(control_plane.api, shared_namespace)
        yield Scene(api=control_plane.api, namespace=shared_namespace, operator=operator, kubelet=kubelet, audit=control_plane.audit)


def replaced(scene: Scene, child: str, before: str) -> Mapping[str, Any]:
    """Wait until a Job has been made again; return the specification of its pods."""
    until(lambda: uid(scene, child) not in ("", before), f"{child} is made again")
    found = scene.get(BATCH, "Job", child)
    assert found is not None
    pods: Mapping[str, Any] = found["spec"]["template"]["spec"]
    return pods


def fail_export(scene: Scene, job: str) -> None:
    """Fail the export with an error that the Job does not retry."""
    scene.kubelet.end("exporter", FULL, code=ExitCode.CONFIGURATION, job=job)
    scene.reaches("Failed", job)


def test_a_check_that_waits_is_made_again_with_changed_settings(scene):
    scene.create_job("c1")
    scene.kubelet.hinder("checker", unscheduled="0/1 nodes are available", job="c1")
    until(lambda: scene.status("c1").get("reason") == "Unschedulable", "the job waits")
    before = uid(scene, "c1-check")
    change(scene, "c1", SELECTOR)
    assert replaced(scene, "c1-check", before)["nodeSelector"] == {"pool": "large"}
    scene.kubelet.end("checker", CHECKED, job="c1")
    scene.reaches("Training", "c1")


@pytest.mark.parametrize(("job", "reason"), [("i1", "ImagePullBackOff"), ("i2", "InvalidImageName")])
def test_a_check_whose_image_is_wrong_is_made_again_with_the_correct_one(scene, job, reason):
    scene.create_job(job)
    scene.kubelet.hinder("checker", waiting={"reason": reason, "message": "no such image"}, job=job)
    until(lambda: scene.status(job).get("reason") == reason, "status names the image")
    before = uid(scene, f"{job}-check")
    change(scene, job, IMAGE)
    assert replaced(scene, f"{job}-check", before)["containers"][0]["image"] == "registry.example/trainer:2"
    scene.kubelet.end("checker", CHECKED, job=job)
    scene.reaches("Training", job)


def test_a_check_that_waits_for_an_injected_init_container_is_made_again_without_it(scene):
    scene.create_job("n1")
    scene.kubelet.hinder("checker", init="istio-init", waiting={"reason": "PodInitializing"}, job="n1")
    until(lambda: scene.status("n1").get("reason") == "InitContainerRuns", "status names the init container")
    status, before = scene.status("n1"), uid(scene, "n1-check")
    assert "init container istio-init runs since" in status["failure"]["message"]
    assert "podLabels" in status["failure"]["suggestion"]
    change(scene, "n1", {"check": {"podLabels": {"sidecar.istio.io/inject": "false"}}})
    replaced(scene, "n1-check", before)
    (pod,) = scene.kubelet.wait_for("checker", job="n1")
    assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"
    scene.kubelet.end("checker", CHECKED, job="n1")
    scene.reaches("Training", "n1")


def test_a_gang_that_waits_is_made_again_and_keeps_its_batch(scene):
    to_training(scene, "c2")
    scene.kubelet.hinder("trainer", unscheduled="0/1 nodes are available", job="c2")
    first = scene.get(BATCH, "Job", "c2-train-0")["metadata"]
    change(scene, "c2", LESS)
    pods = replaced(scene, "c2-train-0", first["uid"])
    assert pods["containers"][0]["resources"]["limits"]["cpu"] == "100m"
    again = scene.get(BATCH, "Job", "c2-train-0")["metadata"]["annotations"]
    assert [again[name] for name in (GLOBAL_BATCH_SIZE, ZERO_STAGE)] == [
        first["annotations"][name] for name in (GLOBAL_BATCH_SIZE, ZERO_STAGE)
    ]
    assert "c2-train-1" not in scene.names(BATCH, "Job")
    scene.kubelet.end("trainer", TRAINED, count=2, job="c2")
    scene.reaches("Exporting", "c2")


def test_a_running_gang_is_left_alone_until_it_is_suspended(scene):
    to_training(scene, "c3", progressDeadlineSeconds=10**8)
    scene.kubelet.serve("trainer", count=2, job="c3")
    until(lambda: scene.status("c3").get("reason") == "Running", "it runs")
    before = uid(scene, "c3-train-0")
    change(scene, "c3", SELECTOR)
    until(
        lambda: "set spec.suspend to true, and to false when the phase is Suspended" in scene.status("c3")["message"], "status tells when"
    )
    assert uid(scene, "c3-train-0") == before
    change(scene, "c3", {"suspend": True})
    scene.reaches("Suspended", "c3")
    change(scene, "c3", {"suspend": False})
    assert replaced(scene, "c3-train-0", before)["nodeSelector"] == {"pool": "large"}
    scene.kubelet.end("trainer", TRAINED, count=2, job="c3")
    scene.reaches("Exporting", "c3")


def test_a_gang_that_failed_for_good_tries_again_with_another_image(scene):
    to_training(scene, "c4")
    scene.kubelet.end("trainer", FULL, code=ExitCode.CONFIGURATION, count=2, job="c4")
    scene.reaches("Failed", "c4")
    change(scene, "c4", IMAGE)
    until(lambda: uid(scene, "c4-train-1"), "another attempt is made")
    assert scene.get(BATCH, "Job", "c4-train-1")["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/trainer:2"
    scene.kubelet.end("trainer", TRAINED, count=2, attempt=1, job="c4")
    scene.reaches("Exporting", "c4")


def test_a_failed_export_is_made_again_and_training_is_kept(scene):
    to_export(scene, "c5")
    fail_export(scene, "c5")
    before, trained = uid(scene, "c5-export"), uid(scene, "c5-train-0")
    change(scene, "c5", SELECTOR)
    assert replaced(scene, "c5-export", before)["nodeSelector"] == {"pool": "large"}
    scene.kubelet.end("exporter", EXPORTED, job="c5")
    scene.reaches("Complete", "c5")
    assert uid(scene, "c5-train-0") == trained


def test_other_accelerators_are_refused_and_the_gang_continues(scene):
    gpu = {"limits": {"nvidia.com/gpu": "1", "cpu": "1", "memory": "2Gi"}}
    to_training(scene, "c6", workers={"replicas": 2, "resources": gpu}, progressDeadlineSeconds=10**8)
    scene.kubelet.serve("trainer", count=2, job="c6")
    before = uid(scene, "c6-train-0")
    change(scene, "c6", {"workers": {"resources": {"limits": {"nvidia.com/gpu": "2"}}}})
    until(lambda: scene.status("c6").get("reason") == "AcceleratorsFixed", "the change is refused")
    status = scene.status("c6")
    assert status["phase"] == "Training"
    assert "spec.workers.resources.limits[nvidia.com/gpu]: 2 is not 1" in status["message"]
    assert uid(scene, "c6-train-0") == before
    change(scene, "c6", {"workers": {"resources": {"limits": {"nvidia.com/gpu": "1"}}}})
    until(lambda: scene.status("c6").get("reason") == "Running", "the job is as before")


def test_a_failed_export_is_retried_once_by_the_annotation_and_training_is_kept(scene):
    to_export(scene, "r1")
    fail_export(scene, "r1")
    before, trained = uid(scene, "r1-export"), uid(scene, "r1-train-0")
    patch(scene, "r1", {"metadata": {"annotations": {RETRY: "space is free"}}})
    replaced(scene, "r1-export", before)
    fail_export(scene, "r1")  # the same text does not retry a second time
    patch(scene, "r1", {"metadata": {"annotations": {RETRY: "again"}}})
    scene.reaches("Exporting", "r1")
    scene.kubelet.end("exporter", EXPORTED, job="r1")
    scene.reaches("Complete", "r1")
    assert uid(scene, "r1-train-0") == trained


@pytest.mark.parametrize(
    ("job", "step"),
    [("r2", {"spec": {"backoffLimit": 1}}), ("r3", {"metadata": {"annotations": {RETRY: "1"}}})],
    ids=["backoffLimit is raised", "retried"],
)
def test_a_gang_that_failed_too_often_continues(scene, job, step):
    to_training(scene, job, backoffLimit=0)
    scene.kubelet.end("trainer", FULL, code=ExitCode.RETRY, count=2, job=job)
    assert "more than spec.backoffLimit" in scene.reaches("Failed", job)["message"]
    patch(scene, job, step)
    until(lambda: uid(scene, f"{job}-train-1"), "another attempt is made")
    scene.kubelet.end("trainer", TRAINED, count=2, attempt=1, job=job)
    scene.reaches("Exporting", job)
