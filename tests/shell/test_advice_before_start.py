"""Why a stage's pods do not start, on a real API server: each row provokes a fault, does what status advises, and the job continues.

A row is a generator: it provokes the fault, yields until status has the reason, and then follows the advice. Each row has a namespace of
its own, and all rows run at the same time, because most of a row is waiting for the Job controller's next try.

The faults are real where the API server or a controller causes them. What only a scheduler or a kubelet reports, a stand-in writes.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fake_kubelet import FakeKubelet
from namespaces import new_namespace
from operator_nursery import ForkedOperator, Nursery
from operator_process import kubeconfig_of_its_own
from scene import CLAIM, JOB, SPEC, Scene
from stage_scenes import change, patch
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright.plan.label_names import RETRY, SERVING_REVISION

ADMISSION = "admissionregistration.k8s.io/v1"
BOT, NODE, PATIENCE_SECONDS = "bot", "node-of-advice", 240  # the Job controller tries again after 1, 2, 4, … 60 s
FILLER = {
    "restartPolicy": "Never",
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"}},
    "containers": [
        {
            "name": "c",
            "image": "i",
            "resources": {"limits": {"cpu": "1", "memory": "4Gi"}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
}
Steps = Iterator[None]


def put(scene: Scene, api_version: str, kind: str, name: str, **fields: Any) -> None:
    """Create an object in the row's namespace."""
    made = scene.api.create({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}, scene.namespace, keep=True)
    assert made.accepted, made.message


def remove(scene: Scene, api_version: str, kind: str, name: str) -> None:
    scene.api.delete(api_version, kind, name, scene.namespace)


def put_quota(scene: Scene, **hard: str) -> None:
    """Create a quota, and wait until it counts."""
    amounts = {name.replace("_", "."): amount for name, amount in hard.items()}
    put(scene, "v1", "ResourceQuota", "quota", spec={"hard": amounts})
    until(lambda: (scene.get("v1", "ResourceQuota", "quota") or {}).get("status", {}).get("used"), "the quota counts")


def raise_quota(scene: Scene, hard: Mapping[str, str]) -> None:
    quotas = scene.api.dynamic.resources.get(api_version="v1", kind="ResourceQuota")
    quotas.patch(name="quota", namespace=scene.namespace, body={"spec": {"hard": dict(hard)}}, content_type="application/merge-patch+json")


def quota_is_freed(scene: Scene) -> Steps:
    put(scene, "v1", "Pod", "filler", spec=FILLER)
    put_quota(scene, pods="1")
    scene.create_job()
    yield
    raise_quota(scene, {"pods": "2"})  # for the gang
    remove(scene, "v1", "Pod", "filler")


def quota_is_raised(scene: Scene) -> Steps:
    put(scene, "v1", "Pod", "filler", spec=FILLER)
    put_quota(scene, pods="1")
    scene.create_job()
    yield
    raise_quota(scene, {"pods": "3"})


def less_is_requested(scene: Scene) -> Steps:
    put(scene, "v1", "Pod", "filler", spec=FILLER)
    put_quota(scene, limits_memory="9Gi")
    scene.create_job()
    yield
    change(scene, BOT, {"check": {"resources": {"limits": {"memory": "4Gi"}}}})


def limit_is_set_for_a_quota(scene: Scene) -> Steps:
    put_quota(scene, limits_cpu="4", limits_memory="16Gi")
    scene.create_job()
    yield
    change(scene, BOT, {"check": {"resources": {"limits": {"cpu": "1"}}}})


def limit_is_lowered_below_a_limit_range(scene: Scene) -> Steps:
    put(scene, "v1", "LimitRange", "range", spec={"limits": [{"type": "Container", "max": {"memory": "4Gi"}}]})
    scene.create_job()
    yield
    change(scene, BOT, {"check": {"resources": {"limits": {"memory": "4Gi"}}}})


def limit_range_is_changed(scene: Scene) -> Steps:
    put(scene, "v1", "LimitRange", "range", spec={"limits": [{"type": "Container", "max": {"memory": "4Gi"}}]})
    scene.create_job()
    yield
    remove(scene, "v1", "LimitRange", "range")


def put_policy(scene: Scene) -> None:
    """Admit only pods with the label `team`, with a real ValidatingAdmissionPolicy."""
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]
    labelled = "has(object.metadata.labels) && 'team' in object.metadata.labels"
    validation = {"expression": labelled, "message": "label team is missing: set spec.workers.podLabels"}
    only_here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}}
    for kind, spec in (
        ("ValidatingAdmissionPolicy", {"matchConstraints": {"resourceRules": rules}, "validations": [validation]}),
        ("ValidatingAdmissionPolicyBinding", {"policyName": scene.namespace, "validationActions": ["Deny"], "matchResources": only_here}),
    ):
        put_for_all(scene, ADMISSION, kind, scene.namespace, spec=spec)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": FILLER}
    until(lambda: not scene.api.create(pod, scene.namespace).accepted, "the policy is in effect")


def put_for_all(scene: Scene, api_version: str, kind: str, name: str, **fields: Any) -> None:
    """Create an object outside namespaces. `away` removes it."""
    made = scene.api.create({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}, keep=True)
    assert made.accepted, made.message


def pods_get_the_label_that_a_policy_requires(scene: Scene) -> Steps:
    put_policy(scene)
    scene.create_job()
    yield
    change(scene, BOT, {"workers": {"podLabels": {"team": "a"}}})


def policy_is_taken_away(scene: Scene) -> Steps:
    put_policy(scene)
    scene.create_job()
    yield
    scene.api.delete(ADMISSION, "ValidatingAdmissionPolicyBinding", scene.namespace)


def priority_class_is_created(scene: Scene) -> Steps:
    scene.create_job(workers=SPEC["workers"] | {"priorityClassName": scene.namespace})
    yield
    put_for_all(scene, "scheduling.k8s.io/v1", "PriorityClass", scene.namespace, value=1)


def service_account_is_created(scene: Scene) -> Steps:
    put(scene, "v1", "ServiceAccount", "robot")
    scene.create_job(workers=SPEC["workers"] | {"serviceAccountName": "robot"})
    (pod,) = scene.kubelet.wait_for("checker")
    remove(scene, "v1", "ServiceAccount", "robot")  # after the operator has found it
    remove(scene, "v1", "Pod", pod["metadata"]["name"])
    yield
    put(scene, "v1", "ServiceAccount", "robot")


def secret_is_created(scene: Scene) -> Steps:
    put(scene, "v1", "Secret", "hub", stringData={"token": "t"})
    key = {"name": "TEAM_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    scene.create_job(check={"env": [key]})
    scene.kubelet.wait_for("checker")
    remove(scene, "v1", "Secret", "hub")
    scene.kubelet.hinder("checker", waiting={"reason": "CreateContainerConfigError", "message": 'secret "hub" not found'})
    yield
    put(scene, "v1", "Secret", "hub", stringData={"token": "t"})


def image_is_replaced(scene: Scene) -> Steps:
    scene.create_job()
    no_python = 'exec: "python": executable file not found in $PATH'
    scene.kubelet.hinder("checker", waiting={"reason": "RunContainerError", "message": no_python})
    (before,) = scene.kubelet.pods("checker")
    yield
    change(scene, BOT, {"workers": {"image": "registry.example/trainer:2"}})
    until(lambda: is_new(scene, before, image="registry.example/trainer:2"), "a pod has the other image")


def is_new(scene: Scene, before: Mapping[str, Any], *, image: str = "") -> bool:
    """Return whether the check's only pod is another one, with this image."""
    found = scene.kubelet.pods("checker")
    others = [pod for pod in found if pod["metadata"]["uid"] != before["metadata"]["uid"]]
    return found == others != [] and all(image in ("", pod["spec"]["containers"][0]["image"]) for pod in others)


def volume_is_created(scene: Scene) -> Steps:
    put(scene, "v1", "PersistentVolumeClaim", "corpora", spec=CLAIM | {"storageClassName": scene.namespace})
    scene.create_job()
    unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    scene.kubelet.hinder("checker", unscheduled=unbound)
    until(lambda: f'"{scene.namespace}" not found' in events_about(scene, "corpora"), "the claim's Events name its StorageClass")
    yield
    volume = {"capacity": {"storage": "1Gi"}, "accessModes": CLAIM["accessModes"], "hostPath": {"path": "/nowhere"}}
    put_for_all(scene, "v1", "PersistentVolume", scene.namespace, spec=volume | {"storageClassName": scene.namespace})
    until(lambda: scene.get("v1", "PersistentVolumeClaim", "corpora")["status"]["phase"] == "Bound", "the claim is bound")


def events_about(scene: Scene, name: str) -> str:
    found = scene.api.list("v1", "Event", scene.namespace)
    return " ".join(event["message"] for event in found if event["involvedObject"]["name"] == name)


def config_map_is_created(scene: Scene) -> Steps:
    put(scene, "v1", "ConfigMap", "ca", data={"ca.crt": "c"})
    volumes = {"volumes": [{"name": "ca", "configMap": {"name": "ca"}}], "volumeMounts": [{"name": "ca", "mountPath": "/etc/ssl/company"}]}
    scene.create_job(check=volumes)
    scene.kubelet.wait_for("checker")
    remove(scene, "v1", "ConfigMap", "ca")
    scene.kubelet.warn("checker", "FailedMount", 'MountVolume.SetUp failed for volume "ca" : configmap "ca" not found', node=NODE)
    yield
    put(scene, "v1", "ConfigMap", "ca", data={"ca.crt": "c"})


def pod_with_the_volume_is_deleted(scene: Scene) -> Steps:
    put(scene, "v1", "Pod", "filler", spec=FILLER)
    scene.create_job()
    busy = 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) filler'
    scene.kubelet.warn("checker", "FailedAttachVolume", busy, node=NODE)
    yield
    remove(scene, "v1", "Pod", "filler")


def pod_goes_to_another_node(scene: Scene) -> Steps:
    scene.create_job()
    scene.kubelet.warn("checker", "FailedCreatePodSandBox", "plugin type calico failed: no route", node=NODE)
    (before,) = scene.kubelet.pods("checker")
    yield
    remove(scene, "v1", "Pod", before["metadata"]["name"])
    scene.kubelet.confirm_deletions("checker")
    until(lambda: is_new(scene, before), "another pod is made")


def finish_check(scene: Scene) -> None:
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2)
    scene.reaches("Training")


def to_servers(scene: Scene, **serving: Any) -> None:
    scene.create_job(serving={"replicas": 1, "progressDeadlineSeconds": 30, **serving})
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    scene.kubelet.wait_for("server")


def server_starts_late(scene: Scene) -> Steps:
    to_servers(scene)
    yield


def rolled_back_server_gets_more_time(scene: Scene) -> Steps:
    yield from rolled_back(scene, lambda: change(scene, BOT, {"serving": {"progressDeadlineSeconds": 3600}}))


def rolled_back_server_is_retried(scene: Scene) -> Steps:
    yield from rolled_back(scene, lambda: patch(scene, BOT, {"metadata": {"annotations": {RETRY: "1"}}}))


def rolled_back(scene: Scene, again: Callable[[], None]) -> Steps:
    to_servers(scene)
    scene.kubelet.serve()
    scene.reaches("Serving")
    change(scene, BOT, {"serving": {"maxConcurrentRequests": 4}})
    until(lambda: len(revisions(scene)) == 2, "a second revision starts")
    refused = revisions(scene) - {scene.status()["serving"]["revision"]}
    yield
    until(lambda: refused.isdisjoint(revisions(scene)), "the refused revision has no pods")
    again()
    until(lambda: refused <= revisions(scene), "it is tried again")
    scene.kubelet.serve_revision(*refused)
    until(lambda: scene.status()["serving"].get("revision") in refused, "it serves")


def revisions(scene: Scene) -> set[str]:
    return {pod["metadata"]["annotations"][SERVING_REVISION] for pod in scene.kubelet.pods("server")}


def finish_servers(scene: Scene) -> None:
    scene.kubelet.serve()
    scene.reaches("Serving")
    until(lambda: scene.status()["reason"] == "Serving", "the job is ready")


class Row(NamedTuple):
    """A fault, and the advice that is followed."""

    reason: str  # of status.failure
    advice: str  # the words of status.failure.suggestion that `steps` follows
    steps: Callable[[Scene], Steps]
    finish: Callable[[Scene], None] = finish_check  # ends the stage, and sees the next one begin


ROWS = (
    Row("QuotaExceeded", "free some of the namespace's quota", quota_is_freed),
    Row("QuotaExceeded", "have it raised", quota_is_raised),
    Row("QuotaExceeded", "Request less in `resources` of this stage (spec.check", less_is_requested),
    Row("PodOutsideLimits", "Set the requests and limits that the message names in `resources`", limit_is_set_for_a_quota),
    Row("PodOutsideLimits", "Set the requests and limits that the message names in `resources`", limit_is_lowered_below_a_limit_range),
    Row("PodOutsideLimits", "have the LimitRange or the ResourceQuota changed", limit_range_is_changed),
    Row("RefusedByPolicy", "change the field that the message names", pods_get_the_label_that_a_policy_requires),
    Row("RefusedByPolicy", "Ask the cluster's administrator to admit these pods", policy_is_taken_away),
    Row("PodsRefused", "Correct the problem that the message names", priority_class_is_created),
    Row("ServiceAccountMissing", "Create the service account", service_account_is_created),
    Row("CreateContainerConfigError", "Create the Secret", secret_is_created),
    Row("CreateContainerError", "set another one (workers.image", image_is_replaced),
    Row("VolumeNotBound", "create the StorageClass that it names, or a volume", volume_is_created),
    Row("VolumeNotMounted", "Create the object that the message names", config_map_is_created),
    Row("VolumeInUse", "or delete it", pod_with_the_volume_is_deleted),
    Row("SandboxNotCreated", "delete the pod; this costs no attempt", pod_goes_to_another_node),
    Row("ProgressDeadlineExceeded", "If it still starts, wait", server_starts_late, finish_servers),
    Row("ProgressDeadlineExceeded", "another serving.progressDeadlineSeconds", rolled_back_server_gets_more_time, finish_servers),
    Row(
        "ProgressDeadlineExceeded", "set another value of the annotation tunewright.io/retry", rolled_back_server_is_retried, finish_servers
    ),
)
OF_ALL = (  # what rows create outside their namespaces, under its name
    (ADMISSION, "ValidatingAdmissionPolicyBinding"),
    (ADMISSION, "ValidatingAdmissionPolicy"),
    ("scheduling.k8s.io/v1", "PriorityClass"),
    ("v1", "PersistentVolume"),
)


def is_warned_of(scene: Scene, advice: str) -> bool:
    """Return whether a Warning about the job has this advice."""
    told = [event for event in scene.api.list("v1", "Event", scene.namespace) if event["involvedObject"]["kind"] == JOB[1]]
    return any(event["type"] == "Warning" and advice in event["message"] for event in told)


def play(scene: Scene, row: Row) -> None:
    """Provoke a row's fault, read the advice, follow it, and see the job continue."""
    steps = row.steps(scene)
    next(steps)
    until(lambda: (scene.status().get("failure") or {}).get("reason") == row.reason, row.reason, patience=PATIENCE_SECONDS)
    status = scene.status()
    assert row.advice in status["failure"]["suggestion"]
    assert row.advice in status["message"]
    until(lambda: is_warned_of(scene, row.advice), "an Event has the advice, which is posted after the status is written")
    assert next(steps, "done") == "done"
    row.finish(scene)
    assert scene.status().get("failure") is None


class OfMany(ForkedOperator):
    """One operator for the namespaces of all rows, with one watch for each kind."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_READ_CLUSTER": "true"}


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, control_plane: Any, definition: None, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[Row, Future[None]]]:
    """All selected rows, which run at the same time."""
    rows = [item.callspec.params["row"] for item in request.session.items if item.path == Path(__file__) and hasattr(item, "callspec")]
    made = {row: new_namespace(control_plane.api) for row in rows}
    names = {row: next(namespace) for row, namespace in made.items()}
    nodes = control_plane.api.dynamic.resources.get(api_version="v1", kind="Node")
    nodes.create(body={"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
    kubeconfig = kubeconfig_of_its_own(control_plane, names[rows[0]])
    with (
        OfMany(nursery, kubeconfig, ",".join(names.values()), tmp_path_factory.mktemp("advice")) as operator,
        ThreadPoolExecutor(len(rows)) as pool,
    ):

        def scene_of(row: Row) -> Scene:
            kubelet = FakeKubelet(control_plane.api, names[row])
            return Scene(api=control_plane.api, namespace=names[row], operator=operator, kubelet=kubelet, audit=control_plane.audit)

        yield {row: pool.submit(play, scene_of(row), row) for row in rows}
    for row, name in names.items():
        for api_version, kind in OF_ALL:
            control_plane.api.delete(api_version, kind, name)
        next(made[row], None)
    nodes.delete(name=NODE, body={})


@pytest.mark.parametrize("row", ROWS, ids=[row.steps.__name__ for row in ROWS])
def test_a_job_continues_when_the_advice_in_its_status_is_followed(played, row):
    played[row].result()
