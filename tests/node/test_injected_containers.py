"""A mesh's classic sidecar in every pod of a job: each stage ends with its own container, real pods end, and the model is served."""

import json
from collections.abc import Iterator

import pytest
from node import PROBE_IMAGE
from on_pods import Desk, of, quickstart, short
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.repeat, pytest.mark.timeout(1800)]

JOB = "meshed"
ADMISSION = "admissionregistration.k8s.io/v1beta1"
PROXY = f"""Object.spec.containers{{
  name: 'proxy', image: '{PROBE_IMAGE}', command: ['probe', 'serve', ':15001', 'proxy'],
  resources: Object.spec.containers.resources{{requests: {{'cpu': '10m', 'memory': '16Mi'}}}},
  securityContext: Object.spec.containers.securityContext{{
    allowPrivilegeEscalation: false, capabilities: Object.spec.containers.securityContext.capabilities{{drop: ['ALL']}}
  }}
}}"""
INJECT = f"[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {PROXY}}}]"


@pytest.fixture
def mesh(desk: Desk) -> Iterator[None]:
    """A policy that adds a container to each pod of the job. It runs until it is killed, as a proxy does."""
    match = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": desk.namespace}},
        "objectSelector": {"matchLabels": {"tunewright.io/job-name": JOB}},
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    }
    mutations = [{"patchType": "JSONPatch", "jsonPatch": {"expression": INJECT}}]
    policy = {"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": match, "mutations": mutations}
    for kind, spec in (("MutatingAdmissionPolicy", policy), ("MutatingAdmissionPolicyBinding", {"policyName": JOB})):
        made = {"apiVersion": ADMISSION, "kind": kind, "metadata": {"name": JOB}, "spec": spec}
        desk.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(made))
    until(lambda: injects(desk), "the policy is in effect")
    yield
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        desk.kubectl("delete", kind, JOB)


def injects(desk: Desk) -> bool:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    spec = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "image": PROBE_IMAGE, "securityContext": restricted}],
    }
    probe = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe", "labels": {"tunewright.io/job-name": JOB}}, "spec": spec}
    shown = desk.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=json.dumps(probe))
    return len(json.loads(shown)["spec"]["containers"]) == 2


def test_a_job_is_trained_and_served_although_each_of_its_pods_has_a_sidecar(desk, demo, served, mesh):
    spec = short(quickstart()) | {"serving": quickstart()["serving"] | {"servedModelName": JOB}}
    spec["training"] |= {"maxSteps": 10}
    spec["output"] |= {"storage": {"retain": False}, "onnx": {"precision": "fp32"}}
    desk.apply(JOB, spec)

    status = desk.until_phase(JOB, "Serving")

    assert (status["attempts"], status["progress"]["step"]) == (1, 10)
    assert any("container proxy still ran in pod" in warning for warning in status["warnings"])
    assert [pod for stage in ("checker", "trainer", "exporter") for pod in desk.all("pods", of(JOB, stage)) if is_left(pod)] == []
    (server,) = desk.all("pods", of(JOB, "server"))
    assert [container["name"] for container in server["spec"]["containers"]] == ["server", "proxy"]
    assert demo.ask(JOB)
    desk.kubectl("delete", "finetunejob", JOB, "--timeout=120s")


def is_left(pod: dict) -> bool:
    """Return whether a pod still holds what it asked for."""
    return pod["status"]["phase"] in {"Pending", "Running"}
