"""Injected containers, mutating policies and autoscalers, on a real API server. The kubelet is played."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scene import SPEC
from status_builders import CHECKED, EXPORTED, TRAINED
from waiting import until

from tunewright_contract.reports import Failure

BATCH = "batch/v1"
LOST = Failure(reason="PeerLost", message="rank 1 did not answer")


def test_a_stage_is_done_and_its_pods_end_although_a_sidecar_runs(scene: Any) -> None:
    scene.create_job()
    scene.kubelet.keep("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2, attempt=0)
    until(lambda: scene.kubelet.pods("checker") == [], "the check's pod is gone")
    scene.kubelet.keep("trainer", LOST, count=2, code=75, attempt=0)
    scene.kubelet.wait_for("trainer", 2, attempt=1)
    until(lambda: scene.kubelet.pods("trainer", attempt=0) == [], "the pods of the failed attempt are gone")
    scene.kubelet.keep("trainer", TRAINED, count=2, attempt=1)
    scene.kubelet.keep("exporter", EXPORTED)
    status = scene.reaches("Complete")
    until(lambda: scene.kubelet.pods("trainer") == scene.kubelet.pods("exporter") == [], "no pod holds an accelerator")
    assert scene.names(BATCH, "Job") == ["bot-check", "bot-export", "bot-train-0", "bot-train-1"]  # no stage ran twice
    ends = {name: scene.get(BATCH, "Job", name) for name in scene.names(BATCH, "Job")}
    assert [name for name, job in ends.items() if job["status"].get("failed")] == ["bot-train-0"]
    assert status["progress"]["progressPercentage"] == 100
    assert any("container proxy still ran in pod" in warning for warning in status["warnings"])

    assert scene.operator.stop() == 0  # the records on the Jobs suffice
    settled = scene.audit.end()
    scene.operator.start()
    until(lambda: scene.operator.reconciles() >= 1, "the job has been looked at")
    assert (scene.writes(settled), scene.status()["phase"]) == ([], "Complete")


MIRROR = "JSONPatch{op: 'replace', path: '/spec/template/spec/containers/0/image', value: 'mirror.example/' + object.spec.template.spec.containers[0].image}"
LABEL = "JSONPatch{op: 'add', path: '/spec/template/metadata/labels/cost-centre', value: 'ml'}"
SIDECAR = "JSONPatch{op: 'add', path: '/spec/template/spec/containers/-', value: Object.spec.template.spec.containers{name: 'proxy', image: 'proxy'}}"
PRIVILEGED = "JSONPatch{op: 'remove', path: '/spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem'}"
ADMISSION = "admissionregistration.k8s.io/v1beta1"


@pytest.fixture
def policy(control_plane: Any, namespace: str) -> Iterator[Callable[..., None]]:
    """Put a MutatingAdmissionPolicy for Deployments and Jobs of the namespace into effect."""
    api, name = control_plane.api, f"mutate-{namespace}"

    def put(*patches: str) -> None:
        rules = [
            {"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": [plural]}
            for group, plural in (("apps", "deployments"), ("batch", "jobs"))
        ]
        mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{', '.join(patches)}]"}}]
        match = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}, "resourceRules": rules}
        spec = {"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": match, "mutations": mutations}
        for kind, body in (
            ("MutatingAdmissionPolicy", spec),
            ("MutatingAdmissionPolicyBinding", {"policyName": name}),
        ):
            made = api.apply({"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": name}, "spec": body}, keep=True)
            assert made.accepted, made.message
        until(lambda: in_effect(patches), "the policy is in effect")

    def in_effect(patches: tuple[str, ...]) -> bool:
        container = {"name": "a", "image": "a", "securityContext": {"readOnlyRootFilesystem": True}}
        template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}
        spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
        tried = api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "probe"}, "spec": spec}, namespace)
        if not tried.accepted:
            return False
        made = tried.object["spec"]["template"]
        kept = "readOnlyRootFilesystem" in (made["spec"]["containers"][0].get("securityContext") or {})
        return "cost-centre" in made["metadata"]["labels"] and kept == (PRIVILEGED not in patches)

    yield put
    for kind in ("MutatingAdmissionPolicyBinding", "MutatingAdmissionPolicy"):
        api.delete(ADMISSION, kind, name)


def altered(scene: Any) -> str:
    return next((found["message"] for found in scene.status().get("conditions", ()) if found["type"] == "ObjectsAltered"), "")


def test_a_policy_that_rewrites_objects_causes_few_writes(scene: Any, policy: Callable[..., None]) -> None:
    policy(MIRROR, LABEL)
    scene.create_job(serving={"replicas": 1})
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    scene.kubelet.wait_for("server")
    scene.kubelet.serve()
    scene.reaches("Serving")
    served = scene.get("apps/v1", "Deployment", "bot-serve")
    template = served["spec"]["template"]
    assert template["spec"]["containers"][0]["image"].startswith("mirror.example/")
    assert (template["metadata"]["labels"]["cost-centre"], altered(scene)) == ("ml", "")

    settled = scene.audit.end()
    for mark in ("1", "2", "3"):
        scene.look_again(mark)
    assert [write for write in scene.writes(settled) if "/status" not in write and "/events" not in write] == []

    policy(MIRROR, LABEL, PRIVILEGED)
    since = scene.audit.end()
    patch = {"spec": {"serving": {"maxConcurrentRequests": 4}}}
    job = scene.api.dynamic.resources.get(api_version="tunewright.io/v1alpha1", kind="FineTuneJob")
    job.patch(name="bot", namespace=scene.namespace, body=patch, content_type="application/merge-patch+json")
    until(lambda: altered(scene), "the status names what is not stored as written")
    assert (
        "Deployment bot-serve: spec.template.spec.containers[server].securityContext.readOnlyRootFilesystem: True was written"
        in altered(scene)
    )
    assert "an admission webhook or policy made it nothing" in altered(scene)
    for mark in ("4", "5", "6", "7"):
        scene.look_again(mark)
    writes = [write for write in scene.writes(since) if "/deployments/bot-serve" in write]
    assert 1 <= len(writes) <= 4, writes  # two tries at most, not one for each look
    told = scene.api.list("v1", "Event", scene.namespace)
    assert [event["type"] for event in told if event["reason"] == "WriteAltered"] == ["Warning"]
    revision = scene.get("apps/v1", "Deployment", "bot-serve")["spec"]["template"]["metadata"]["annotations"][
        "tunewright.io/serving-revision"
    ]
    scene.kubelet.serve_revision(revision)
    until(lambda: scene.status().get("serving", {}).get("revision") == revision, "the new revision serves")
    assert scene.status()["phase"] == "Serving"


HPA = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "bot"},
    "spec": {
        "scaleTargetRef": {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "name": "bot"},
        "minReplicas": 4,
        "maxReplicas": 5,
    },
}


def test_a_job_is_scaled_by_people_and_by_an_autoscaler(scene: Any, control_plane: Any) -> None:
    def scale(name: str, replicas: int) -> str:
        found = control_plane.kubectl("scale", f"ftj/{name}", f"--replicas={replicas}", f"--namespace={scene.namespace}")
        return str(found.stdout + found.stderr)

    def servers() -> int:
        return int((scene.get("apps/v1", "Deployment", "bot-serve") or {"spec": {"replicas": 0}})["spec"]["replicas"])

    scene.create_job(serving={"replicas": 1})
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.end("trainer", TRAINED, count=2)
    scene.kubelet.end("exporter", EXPORTED)
    scene.kubelet.wait_for("server")
    assert "scaled" in scale("bot", 3)
    until(lambda: servers() == 3, "the Deployment follows the job")

    # An apply without `replicas` keeps the number.
    job = {"apiVersion": "tunewright.io/v1alpha1", "kind": "FineTuneJob", "metadata": {"name": "bot"}, "spec": SPEC | {"serving": {}}}
    assert scene.api.apply(job, scene.namespace, keep=True).accepted
    assert scene.get("tunewright.io/v1alpha1", "FineTuneJob", "bot")["spec"]["serving"]["replicas"] == 3

    selector = scene.status()["serving"]["selector"]
    assert len(scene.api.list("v1", "Pod", scene.namespace, selector=selector)) >= 3
    assert scene.api.create(HPA, scene.namespace, keep=True).accepted
    until(lambda: servers() == 4, "the autoscaler has raised the number to its least")
