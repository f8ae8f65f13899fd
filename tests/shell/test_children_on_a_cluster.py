"""Children edited or deleted by hand, on a real API server: each is reverted, and its job continues; status names losses."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from fake_kubelet import FakeKubelet
from kubernetes.dynamic.exceptions import NotFoundError
from operator_nursery import ForkedOperator, Nursery
from scene import Scene
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

DEPLOYMENT = ("apps/v1", "Deployment", "bot-serve")
SERVICE = ("v1", "Service", "bot-serve")
GANG_SERVICE = ("v1", "Service", "training-train")
BUDGET = ("policy/v1", "PodDisruptionBudget", "bot-serve")
POLICY = ("networking.k8s.io/v1", "NetworkPolicy", "bot-serve")
CLAIM = ("v1", "PersistentVolumeClaim", "bot-output")
NOBODY = {"nobody": "here"}

# An edit -> its object, and the merge patch.
EDITS: Mapping[str, tuple[Sequence[str], Mapping[str, Any]]] = {
    "another image": (DEPLOYMENT, {"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "another:1"}]}}}}),
    "another number of servers": (DEPLOYMENT, {"spec": {"replicas": 5}}),
    "no server at all": (DEPLOYMENT, {"spec": {"replicas": 0}}),
    "a rollout that stands still": (DEPLOYMENT, {"spec": {"paused": True}}),
    "a Service that finds nobody": (SERVICE, {"spec": {"selector": NOBODY}}),
    "a Service of another port": (SERVICE, {"spec": {"ports": [{"name": "http", "port": 81, "targetPort": "http"}]}}),
    "a Service that leads elsewhere": (SERVICE, {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": 9}]}}),
    "a gang that cannot be found": (GANG_SERVICE, {"spec": {"publishNotReadyAddresses": False}}),
    "a budget that lets no node be drained": (BUDGET, {"spec": {"maxUnavailable": 0}}),
    "a budget of nobody": (BUDGET, {"spec": {"selector": {"matchLabels": NOBODY}}}),
    "a policy of nobody": (POLICY, {"spec": {"podSelector": {"matchLabels": NOBODY}}}),
    "a way out where there is none": (POLICY, {"spec": {"egress": [{}]}}),
    "a way in for everybody": (POLICY, {"spec": {"ingress": [{}]}}),
    "a port more": (POLICY, {"spec": {"ingress": [{"ports": [{"port": "http", "protocol": "TCP"}, {"port": 22, "protocol": "TCP"}]}]}}),
    "a direction that is not guarded": (POLICY, {"spec": {"policyTypes": ["Ingress"]}}),
    "a gang that is a name elsewhere": (GANG_SERVICE, {"spec": {"type": "ExternalName", "externalName": "example.com"}}),
    "a Service at an address of the world's": (SERVICE, {"spec": {"externalIPs": ["192.0.2.1"]}}),
    "a Service on every node": (SERVICE, {"spec": {"type": "NodePort"}}),
    "servers in the node's network": (DEPLOYMENT, {"spec": {"template": {"spec": {"hostNetwork": True}}}}),
    "servers that see the node's processes": (DEPLOYMENT, {"spec": {"template": {"spec": {"hostPID": True}}}}),
}


@pytest.fixture(scope="module")
def served(
    control_plane: Any, definition: None, shared_namespace: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Two jobs, one that is served by two servers, and one that trains."""
    api = control_plane.api
    with ForkedOperator(nursery, control_plane.kubeconfig, shared_namespace, tmp_path_factory.mktemp("served")) as operator:
        kubelet = FakeKubelet(api, shared_namespace)
        scene = Scene(api=api, namespace=shared_namespace, operator=operator, kubelet=kubelet, audit=control_plane.audit)
        scene.create_job(serving={"replicas": 2})
        scene.create_job("training")
        for job in ("bot", "training"):
            kubelet.end("checker", CHECKED, job=job)
        kubelet.end("trainer", TRAINED, count=2, job="bot")
        kubelet.end("exporter", EXPORTED)
        kubelet.wait_for("server", 2)
        kubelet.serve()
        scene.reaches("Serving")
        kubelet.wait_for("trainer", 2, job="training")
        yield scene


def patch(scene: Scene, kind: Sequence[str], body: Mapping[str, Any]) -> None:
    resource = scene.api.dynamic.resources.get(api_version=kind[0], kind=kind[1])
    resource.patch(name=kind[2], namespace=scene.namespace, body=body, content_type="application/merge-patch+json")


def uid(scene: Scene, kind: Sequence[str]) -> str:
    return str(((scene.get(*kind) or {}).get("metadata") or {}).get("uid", ""))


def serves_again(scene: Scene) -> None:
    """Wait until a job is served; servers that were replaced meanwhile are made ready."""

    def serving() -> bool:
        with suppress(NotFoundError):  # a server that leaves just now
            scene.kubelet.serve()
        status = scene.status()
        return status.get("phase") == "Serving" and "failure" not in status

    until(serving, "it is served")


@pytest.mark.parametrize("edit", EDITS)
def test_edited_children_are_reverted(served, edit):
    kind, body = EDITS[edit]
    before = served.get(*kind)["spec"]
    patch(served, kind, body)
    until(lambda: served.get(*kind)["spec"] == before, f"{kind[1]} is as before")
    serves_again(served)


def test_a_gang_that_is_suspended_by_hand_resumes(served):
    gang = ("batch/v1", "Job", "training-train-0")
    first = {pod["metadata"]["uid"] for pod in served.kubelet.wait_for("trainer", 2, job="training")}
    patch(served, gang, {"spec": {"suspend": True}})

    def all_new() -> bool:
        there = {pod["metadata"]["uid"] for pod in served.kubelet.pods("trainer", job="training")}
        return len(there) == 2 and not there & first

    until(all_new, "its pods are made again")
    assert served.get(*gang)["spec"]["suspend"] is False
    served.reaches("Training", "training")
    assert "training-train-1" not in served.names("batch/v1", "Job")  # it cost no attempt


def test_a_deleted_service_is_created_again(served):
    before = uid(served, SERVICE)
    served.api.delete(*SERVICE, served.namespace)
    until(lambda: uid(served, SERVICE) not in ("", before), "it is made again")
    assert served.reaches("Serving")["serving"]["url"] == f"http://bot-serve.{served.namespace}.svc"


def test_deleted_servers_are_created_again(served):
    before = uid(served, DEPLOYMENT)
    served.api.delete(*DEPLOYMENT, served.namespace)
    until(lambda: uid(served, DEPLOYMENT) not in ("", before), "the Deployment is made again")
    served.reaches("Deploying")
    serves_again(served)


def test_a_deleted_claim_has_a_warning_before_and_after_its_deletion(served):
    before = uid(served, CLAIM)
    patch(served, CLAIM, {"metadata": {"finalizers": ["example.com/in-use"]}})  # a claim stays as long as a pod on a node uses it
    served.api.delete(*CLAIM, served.namespace)
    until(lambda: any("bot-output is being deleted" in word for word in served.status().get("warnings") or ()), "the status says so")
    assert uid(served, CLAIM) == before
    assert served.status()["phase"] == "Serving"
    patch(served, CLAIM, {"metadata": {"finalizers": None}})  # as when the last of its pods has gone
    until(lambda: uid(served, CLAIM) not in ("", before), "a claim is made again")
    until(
        lambda: any("bot-output was created again" in word for word in served.status().get("warnings") or ()),
        "the status says what is lost",
    )
    assert not any("being deleted" in word for word in served.status()["warnings"])
