"""Writes that a real API server refuses or fails: status has the reason, the object and the way out, until the write succeeds.

The causes are real: a webhook whose port is closed, an admission policy, a quota of objects. What the API server does only in trouble of
its own (500, 503, 429, no answer), a proxy in front of it does.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fault_proxy import Asked, FaultProxy
from operator_nursery import ForkedOperator, Nursery
from operator_process import kubeconfig_of_its_own
from scene import JOB
from stage_scenes import patch
from status_builders import CHECKED
from waiting import until

from tunewright.kube.kinds import SCHEME
from tunewright_runtime.client import Client
from tunewright_runtime.errors import Rejected

ADMISSION = "admissionregistration.k8s.io/v1"
JOBS = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
A_JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "any"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
}


def only_in(namespace: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def a_dead_webhook(namespace: str) -> list[dict[str, Any]]:
    hook = {
        "name": "audit.example.com",
        "clientConfig": {"url": "https://127.0.0.1:1/"},
        "rules": [JOBS],
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 1,
        **only_in(namespace),
    }
    return [{"apiVersion": ADMISSION, "kind": "ValidatingWebhookConfiguration", "metadata": {"name": namespace}, "webhooks": [hook]}]


def a_policy(namespace: str) -> list[dict[str, Any]]:
    rules = {"matchConstraints": {"resourceRules": [JOBS]}, "validations": [{"expression": "false", "message": "no Jobs on Fridays"}]}
    binding = {"policyName": namespace, "validationActions": ["Deny"], "matchResources": only_in(namespace)}
    return [
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": namespace}, "spec": rules},
        {"apiVersion": ADMISSION, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": namespace}, "spec": binding},
    ]


def a_quota(namespace: str) -> list[dict[str, Any]]:
    spec = {"hard": {"count/jobs.batch": "0"}}
    return [{"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few", "namespace": namespace}, "spec": spec}]


class Impatient(ForkedOperator):
    """It tries a refused object again after seconds rather than a minute."""

    def environment(self) -> dict[str, str]:
        return super().environment() | {"TUNEWRIGHT_RESYNC_SECONDS": "3"}


@pytest.fixture
def scene(make_scene: Any, control_plane: Any, namespace: str, nursery: Nursery, tmp_path: Path) -> Iterator[Any]:
    with Impatient(nursery, kubeconfig_of_its_own(control_plane, namespace), namespace, tmp_path) as operator:
        yield make_scene(operator)


@pytest.fixture
def obstacle(scene: Any) -> Iterator[Callable[[Callable[[str], list[dict[str, Any]]]], Callable[[], None]]]:
    """Put objects into the cluster that keep Jobs out, wait until they do, and return the function that removes them."""
    there: list[dict[str, Any]] = []

    def remove() -> None:
        while there:
            manifest = there.pop()
            meta = manifest["metadata"]
            scene.api.delete(manifest["apiVersion"], manifest["kind"], meta["name"], meta.get("namespace"))

    def put(build: Callable[[str], list[dict[str, Any]]]) -> Callable[[], None]:
        for manifest in build(scene.namespace):
            made = scene.api.create(manifest, manifest["metadata"].get("namespace"), keep=True)
            assert made.accepted, made.message
            there.append(manifest)
        until(lambda: not scene.api.create(A_JOB, scene.namespace).accepted, "no Job is admitted")
        return remove

    yield put
    remove()


@pytest.mark.parametrize(
    ("told", "build", "words"),
    [
        ("Waiting: WebhookFailed", a_dead_webhook, ("audit.example.com", "connection refused", "bot-check", "Repair the service")),
        ("Failed: RefusedByPolicy", a_policy, ("no Jobs on Fridays", "bot-check", "administrator")),
        ("Waiting: QuotaExceeded", a_quota, ("count/jobs.batch", "bot-check", "Delete objects that the quota counts")),
    ],
)
def test_a_refusal_is_in_status_and_a_warning_until_its_cause_is_gone(scene, obstacle, told, build, words):
    phase, reason = told.split(": ")
    remove = obstacle(build)
    scene.create_job()
    until(lambda: scene.status().get("reason") == reason, f"status has {reason}; it has {scene.status()}")
    status = scene.status()
    assert status["phase"] == phase
    assert [word for word in words if word not in status["message"]] == []
    beside_ready = {"Failed": "Stalled", "Waiting": "Reconciling"}[phase]
    true = {one["type"] for one in status["conditions"] if one["status"] == "True"}
    assert (beside_ready in true, "Ready" in true) == (True, False)
    (event,) = until(lambda: events_of(scene, reason), "there is an Event")
    assert event["type"] == "Warning"
    remove()
    scene.reaches("Checking")  # without an edit
    assert scene.status().get("failure") is None


def large(asked: Asked) -> bool:
    """Return whether a gateway before the API server refuses a write of a Job for its size."""
    return asked.writes and asked.path.endswith("/jobs/bot-check") and asked.size > 100_000


LONG = [{"name": f"LONG_{number}", "value": "x" * 4096} for number in range(100)]
QUEUE_NOTE = "kueue.x-k8s.io/podset-preferred-topology"  # the operator passes it to the gang


class Refused(NamedTuple):
    """A job with a write that is refused, and the edit that the advice asks for."""

    reason: str
    advice: str
    edit: Mapping[str, Any]
    spec: Mapping[str, Any] = {}
    notes: Mapping[str, str] = {}  # annotations, added while Check runs


@pytest.mark.parametrize(
    "row",
    [
        Refused(
            "FieldInvalid",
            "Correct this field where the job sets it: spec.check",
            spec={"check": {"imagePullSecrets": ["registry", {"name": "registry"}]}},
            edit={"spec": {"check": {"imagePullSecrets": ["registry"]}}},
        ),
        Refused(
            "RefusedByCluster",
            "Change the field of the job that leads to the value in the message: its name, an annotation",
            notes={QUEUE_NOTE: "x" * 262_000},  # too long with the operator's own
            edit={"metadata": {"annotations": {QUEUE_NOTE: "rack"}}},
        ),
        Refused(
            "TooLarge",
            "Shorten the longest texts of the job, such as env",
            spec={"check": {"env": LONG}},
            edit={"spec": {"check": {"env": LONG[:10]}}},
        ),
    ],
    ids=lambda row: row.reason,
)
def test_a_job_continues_when_the_refused_field_is_changed_as_advised(behind_a_proxy, row):
    scene, proxy = behind_a_proxy
    proxy.refuse(413, which=large)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry"}}
    assert scene.api.create(secret, scene.namespace, keep=True).accepted
    scene.create_job(**row.spec)
    if row.notes:
        patch(scene, "bot", {"metadata": {"annotations": dict(row.notes)}})
        scene.kubelet.end("checker", CHECKED)
    until(lambda: scene.status().get("reason") == row.reason, f"status has {row.reason}; it has {scene.status()}")
    status = scene.status()
    assert (status["phase"], row.advice in status["message"], row.advice in status["failure"]["suggestion"]) == ("Failed", True, True)
    (event,) = until(lambda: events_of(scene, row.reason), "there is an Event")
    assert (event["type"], row.advice in event["message"]) == ("Warning", True)
    patch(scene, "bot", row.edit)
    scene.kubelet.wait_for("trainer" if row.notes else "checker")
    until(lambda: scene.status().get("failure") is None, "the refusal is gone from status")


def events_of(scene: Any, reason: str) -> Any:
    uid = scene.get(*JOB, "bot")["metadata"]["uid"]
    events = scene.api.dynamic.resources.get(api_version="v1", kind="Event")
    return events.get(namespace=scene.namespace, field_selector=f"involvedObject.uid={uid},reason={reason}").to_dict()["items"]


@pytest.mark.parametrize(
    ("field", "pod"),
    [
        ("affinity.nodeAfinity", {"affinity": {"nodeAfinity": {}}}),
        ("tolerations", {"tolerations": {"key": "gpu"}}),
    ],
)
async def test_a_field_that_the_kind_does_not_have_is_named(control_plane, namespace, field, pod):
    """The API server answers 500 to such an apply; to try it again does not help."""
    client = Client(control_plane.api.dynamic.client, SCHEME, threads=1)
    template = {"spec": A_JOB["spec"]["template"]["spec"] | pod}
    with pytest.raises(Rejected) as refused:
        await client.apply_new(A_JOB | {"metadata": {"name": "any", "namespace": namespace}, "spec": {"template": template}})
    assert (refused.value.reason, refused.value.field) == ("FieldInvalid", f"spec.template.spec.{field}")
    client.close()


@pytest.fixture
def behind_a_proxy(make_scene: Any, control_plane: Any, namespace: str, nursery: Nursery, tmp_path: Path) -> Iterator[Any]:
    """A scene whose operator reaches the API server through a proxy only."""
    if control_plane.plane is None:
        pytest.skip("the proxy needs a kubeconfig with a client certificate")
    with (
        FaultProxy(kubeconfig_of_its_own(control_plane, namespace)) as proxy,
        ForkedOperator(nursery, proxy.kubeconfig, namespace, tmp_path) as operator,
    ):
        yield make_scene(operator), proxy


def of_status(asked: Asked) -> bool:
    return asked.writes and asked.path.endswith("/status")


def of_children(asked: Asked) -> bool:
    return asked.writes and "finetunejobs" not in asked.path and not asked.path.endswith("events")


def test_an_api_server_in_trouble_is_in_the_status_of_the_jobs_whose_writes_fail(behind_a_proxy):
    scene, proxy = behind_a_proxy
    for name, status, reason in (
        ("failing", 500, "ServerFailed"),
        ("absent", 503, "ServerFailed"),
        ("busy", 429, "ServerBusy"),
        ("silent", 0, "NoAnswer"),
    ):
        proxy.refuse(status, which=of_children)
        scene.create_job(name)
        until(lambda n=name, r=reason: scene.status(n).get("reason") == r, f"{name} has {reason}")
        assert scene.status(name)["phase"] == "Waiting"
        proxy.relent()
        scene.reaches("Checking", name)
    assert scene.operator.reconciles("bug") == 0


def test_a_status_that_cannot_be_written_is_in_readyz_and_in_the_metrics(behind_a_proxy):
    scene, proxy = behind_a_proxy
    proxy.refuse(503, which=of_status)
    scene.create_job()
    note = f"the status of {scene.namespace}/bot is not written (ServerFailed"
    until(lambda: note in scene.operator.text("/readyz"), "/readyz has a note")
    assert scene.operator.get("/readyz") == 200
    assert scene.operator.metric('tunewright_failed_writes_total{kind="FineTuneJob",reason="ServerFailed"}'.replace("{", r"\{")) > 0
    proxy.relent()
    scene.reaches("Checking")
    until(lambda: scene.operator.text("/readyz") == "ok\n", "the note is gone")
