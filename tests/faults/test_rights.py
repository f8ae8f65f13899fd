"""The chart grants exactly the rights that the operator uses. The audit log of jobs that use every feature shows them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from api_server import ApiServer
from fake_kubelet import FakeKubelet
from fault_proxy import Asked, FaultProxy
from granted import Granted, granted
from helm import Helm, helm_program, kind_of
from life import finish
from operator_nursery import Elected, Nursery
from pod_reports import mounted_audience, post, token_of, url_of
from scene import JOB, SPEC, Scene
from status_builders import CHECKED
from waiting import until

from tunewright.kube.kinds import RENDERED, RESOURCES
from tunewright.shell.app import USER_AGENT

Right = tuple[str, str, str]  # verb, group, resource

FINALIZERS: Right = ("update", "tunewright.io", "finetunejobs/finalizers")  # asked about by admission: the audit log does not show it
UNLABELLED = {"metadata": {"labels": {"tunewright.io/job-uid": None}}}


class Attentive(Elected):
    """It compares every few seconds what its watches have shown with what is there."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_RESYNC_SECONDS": "5"}


@pytest.fixture
def rights(our_plane: Any, namespace: str, tmp_path: Path) -> Iterator[Granted]:
    """What the chart grants in one namespace, in force; secrets too."""
    rbac = {"secrets": True, "aggregate": False}
    with granted(our_plane.api, Helm(helm_program(), tmp_path), namespace, watchNamespaces=[namespace], rbac=rbac) as rights:
        yield rights


@pytest.fixture
def stage(our_plane: Any, nursery: Nursery, namespace: str, rights: Granted, tmp_path: Path) -> Iterator[tuple[Scene, FaultProxy, str]]:
    """An operator with these rights and no others."""
    with FaultProxy(rights.kubeconfig(our_plane.plane)) as proxy, Attentive(nursery, proxy.kubeconfig, namespace, tmp_path) as operator:
        kubelet = FakeKubelet(our_plane.api, namespace)
        yield Scene(api=our_plane.api, namespace=namespace, operator=operator, kubelet=kubelet, audit=our_plane.audit), proxy, rights.user


def rights_of(manifests: Sequence[Mapping[str, Any]]) -> set[Right]:
    return {
        (verb, group, resource)
        for role in (*kind_of(manifests, "ClusterRole"), *kind_of(manifests, "Role"))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(audit: Any, user: str) -> Mapping[Right, set[int]]:
    """Return a user's requests and the codes of their answers, without discovery, which all users may read."""
    found: dict[Right, set[int]] = {}
    for event in audit.events(naming=user):
        if event["user"]["username"] == user and (what := event.get("objectRef")) and what.get("resource"):
            resource = "/".join(filter(None, (what["resource"], what.get("subresource"))))
            code = event.get("responseStatus", {}).get("code", 0)
            for verb in (event["verb"], *(["create"] if code == 201 else [])):  # what an apply makes needs the right to create, too
                found.setdefault((verb, what.get("apiGroup", ""), resource), set()).add(code)
    return found


def test_the_rights_are_exactly_those_needed(stage, rights):
    scene, proxy, user = stage
    live_through_everything(scene, proxy)
    asked = used(scene.audit, user)
    lacking_rights = [f"add     {describe(right)}" for right in sorted(asked) if 403 in asked[right]]
    idle = [f"remove  {describe(right)}" for right in sorted(rights_of(rights.manifests) - asked.keys() - {FINALIZERS})]
    wrong = "\n".join(["in the chart's rules:", *lacking_rights, *idle])
    assert not lacking_rights + idle, wrong
    assert asked.keys() <= rights_of(rights.manifests)  # rights that RBAC grants to all users do not hide a missing rule


def test_owning_children_needs_the_right_that_admission_checks(our_plane, namespace, rights):
    api = our_plane.api
    as_operator = ApiServer(rights.kubeconfig(our_plane.plane))
    job = api.create({"apiVersion": JOB[0], "kind": JOB[1], "metadata": {"name": "bot"}, "spec": SPEC}, namespace, keep=True).object
    owner = {"apiVersion": JOB[0], "kind": JOB[1], "name": "bot", "uid": job["metadata"]["uid"], "controller": True}
    child = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "ownerReferences": [owner | {"blockOwnerDeletion": True}]}}

    def verdict() -> str:
        answer = as_operator.create(child, namespace)
        return "" if answer.accepted else answer.message

    until(lambda: verdict() == "", "with it the operator may own a child")
    (role,) = [manifest for manifest in kind_of(rights.manifests, "Role") if FINALIZERS in rights_of([manifest])]
    rules = [rule for rule in role["rules"] if FINALIZERS[2] not in rule["resources"]]
    api.apply(role | {"rules": rules}, namespace, keep=True)
    until(lambda: "you can't set finalizers on" in verdict(), "without it the API server refuses, as tunewright_runtime/errors.py expects")


def test_lists_come_in_pages_and_of_children_only_ours(stage):
    scene, _, user = stage
    scene.create_job()
    scene.reaches("Checking")
    asked = [event for event in scene.audit.events(naming=user) if event["user"]["username"] == user and event["verb"] in ("list", "watch")]
    assert {event["objectRef"]["resource"] for event in asked} >= {"finetunejobs", "pods", "jobs"}
    assert [event["requestURI"] for event in asked if event["verb"] == "list" and "limit=" not in event["requestURI"]] == []
    of_children = [unquote(event["requestURI"]) for event in asked if event["objectRef"]["resource"] != "finetunejobs"]
    others = [uri for uri in of_children if "labelSelector=tunewright.io/job-uid" not in uri]
    assert others == []


def describe(right: Right) -> str:
    verb, group, resource = right
    return f"{verb:<7} {resource} ({group or 'core'})"


def live_through_everything(scene: Scene, proxy: FaultProxy) -> None:
    """Jobs in which the operator performs all its kinds of work."""
    given = [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub"}, "stringData": {"token": "t"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot"}},
    ]
    for manifest in given:
        assert scene.api.create(manifest, scene.namespace, keep=True).accepted

    starve(scene)

    # From the hub, with a token, as a service account of one's own.
    workers = {"replicas": 2, "serviceAccountName": "robot", "resources": {"limits": {"cpu": "1", "memory": "2Gi"}}}
    hub = {"source": {"huggingFace": {"repo": "acme/base", "revision": "0" * 40, "tokenSecretRef": {"name": "hub", "key": "token"}}}}
    scene.create_job("hub", model=hub, workers=workers)
    scene.reaches("Checking", "hub")
    lose_sight_of_its_job(scene, "hub-check")
    scene.api.delete(*JOB, "hub", scene.namespace)
    until(lambda: scene.kubelet.pods("checker") == [], "its pods are gone")

    # A whole job; the newest pod reports to the operator before the watch shows it.
    scene.create_job(serving={"replicas": 1})
    scene.kubelet.end("checker", CHECKED)
    suspend_and_resume(scene)
    tell_progress_unseen(scene, proxy)
    leave_behind(scene, "ConfigMap", "PersistentVolumeClaim", "Job")
    take_labels_off(scene, set(RENDERED) - {"Deployment"})
    finish(scene)
    take_labels_off(scene, {"Deployment"})
    hide_a_replica_set(scene, proxy)
    change_its_mind(scene, proxy)


def starve(scene: Scene) -> None:
    """No pod is created, and only Events have the reason."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    assert scene.api.create(quota, scene.namespace, keep=True).accepted
    until(lambda: (scene.get("v1", "ResourceQuota", "none") or {}).get("status", {}).get("hard"), "the quota is in force")
    scene.create_job("starved")
    until(lambda: scene.status("starved").get("reason") == "QuotaExceeded", "status names the quota", patience=180)
    scene.api.delete(*JOB, "starved", scene.namespace)
    scene.api.delete("v1", "ResourceQuota", "none", scene.namespace)


def leave_behind(scene: Scene, *kinds: str) -> None:
    """Children that are not rendered any more, as another version of the operator might have left them."""
    uid = (scene.get(*JOB, "bot") or {})["metadata"]["uid"]
    owner = {"apiVersion": JOB[0], "kind": JOB[1], "name": "bot", "uid": uid, "controller": True}
    meta = {"name": "bot-of-old", "labels": {"tunewright.io/job-uid": uid}, "ownerReferences": [owner]}
    bodies = {
        "ConfigMap": {"data": {}},
        "PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}},
        "Job": {"spec": {"suspend": True, "template": (scene.get("batch/v1", "Job", "bot-check") or {})["spec"]["template"]}},
    }
    bodies["Job"]["spec"]["template"]["metadata"].pop("labels")  # those are the other Job's
    for kind in kinds:
        made = scene.api.create(
            {"apiVersion": RESOURCES[kind].api_version, "kind": kind, "metadata": meta, **bodies[kind]}, scene.namespace, keep=True
        )
        assert made.accepted, made.message
    for kind in kinds:
        until(lambda k=kind: is_leaving(scene.get(RESOURCES[k].api_version, k, "bot-of-old")), f"the {kind} of old goes")


def is_leaving(item: Mapping[str, Any] | None) -> bool:
    return item is None or "deletionTimestamp" in item["metadata"]


def lose_sight_of_its_job(scene: Scene, name: str) -> None:
    """A Job that lost its label stands in its own way, and is looked at."""
    since = scene.audit.end()
    resource = scene.api.dynamic.resources.get(api_version="batch/v1", kind="Job")
    resource.patch(name=name, namespace=scene.namespace, body=UNLABELLED, content_type="application/merge-patch+json")
    until(lambda: is_looked_at(scene, "Job", name, since), "the operator asks what stands there")


def hide_a_replica_set(scene: Scene, proxy: FaultProxy) -> None:
    """A watch that broke silently does not show the object; the next comparison does."""
    uid = (scene.get(*JOB, "bot") or {})["metadata"]["uid"]
    labels = {"tunewright.io/job-uid": uid, "hidden": "yes"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"hidden": "yes"}}, "template": template}
    since = scene.audit.end()
    proxy.hold_watches()
    hidden = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "hidden", "labels": labels}, "spec": spec}
    made = scene.api.create(hidden, scene.namespace, keep=True)
    assert made.accepted, made.message
    until(lambda: is_looked_at(scene, "ReplicaSet", "hidden", since), "the operator fetches what it was not shown", patience=120)
    proxy.let_watches_go_on()


def is_looked_at(scene: Scene, kind: str, name: str, since: int) -> bool:
    place = RESOURCES[kind]
    uri = f"/apis/{place.api_version}/namespaces/{scene.namespace}/{place.plural}/{name}"
    asked = [event for event in scene.audit.events(since=since, naming=uri) if event.get("userAgent") == USER_AGENT]
    return any(event["verb"] == "get" and event["requestURI"] == uri for event in asked)


def patch(scene: Scene, body: Mapping[str, Any]) -> None:
    jobs = scene.api.dynamic.resources.get(api_version=JOB[0], kind=JOB[1])
    jobs.patch(name="bot", namespace=scene.namespace, body=body, content_type="application/merge-patch+json")


def tell_progress_unseen(scene: Scene, proxy: FaultProxy) -> None:
    """A pod of the job reports before the watch has shown it."""
    seen = scene.kubelet.wait_for("trainer", 2)[0]
    proxy.hold_watches()
    check = scene.get("batch/v1", "Job", "bot-check") or {}  # one that has ended: its controller takes no pod away from it
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "bot-check", "uid": check["metadata"]["uid"], "controller": True}
    meta = {"name": "newcomer", "ownerReferences": [owner]}
    newcomer = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": seen["spec"]}
    made = scene.api.create(newcomer, scene.namespace, keep=True)
    assert made.accepted, made.message
    path = urlsplit(url_of(seen)).path
    url = f"http://127.0.0.1:{scene.operator.progress_port}{path}"
    token = token_of(scene, made.object, mounted_audience(seen))
    until(lambda: post(url, token) == 200, "the report is accepted")
    proxy.let_watches_go_on()


def suspend_and_resume(scene: Scene) -> None:
    """Twice: a repeated report is the same Event."""
    for _ in range(2):
        patch(scene, {"spec": {"suspend": True}})
        scene.reaches("Suspended")
        patch(scene, {"spec": {"suspend": False}})
        scene.reaches("Training")


def take_labels_off(scene: Scene, kinds: set[str]) -> None:
    """A watch that selects by label shows such a child as deleted, although it stands there."""
    for kind in sorted(kinds):
        resource = scene.api.dynamic.resources.get(api_version=RESOURCES[kind].api_version, kind=kind)
        selector = "tunewright.io/job-name=bot,tunewright.io/component in (shared,trainer,server)"
        for item in resource.get(namespace=scene.namespace, label_selector=selector).to_dict()["items"]:
            take_off(scene, resource, item["metadata"]["name"])


def take_off(scene: Scene, resource: Any, name: str) -> None:
    resource.patch(name=name, namespace=scene.namespace, body=UNLABELLED, content_type="application/merge-patch+json")

    def is_back() -> bool:
        return "tunewright.io/job-uid" in resource.get(name=name, namespace=scene.namespace).to_dict()["metadata"]["labels"]

    until(is_back, f"{name} has its labels again")


def change_its_mind(scene: Scene, proxy: FaultProxy) -> None:
    """Serving is taken out, and the job is changed right before its status is written."""

    def of_status(asked: Asked) -> bool:
        return asked.path.endswith("/status")

    proxy.strike(1, "meanwhile", lambda: patch(scene, {"metadata": {"annotations": {"changed": "meanwhile"}}}), counts=of_status)
    patch(scene, {"spec": {"serving": None}})
    scene.reaches("Complete")
    assert proxy.has_struck()
