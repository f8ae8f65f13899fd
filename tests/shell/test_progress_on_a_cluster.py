"""Progress that a real pod's token speaks for: TokenReview, the audience and the pod's owner, all asked of a real API server."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from status_builders import CHECKED
from waiting import until

REPORT = {
    "trainerStatus": {
        "progressPercentage": 40,
        "estimatedRemainingSeconds": 60,
        "metrics": [{"name": "loss", "value": "1.5"}],
        "lastUpdatedTime": "2026-01-01T10:00:00Z",
    }
}


@pytest.fixture
def gang(scene: Any) -> Any:
    """A job in training."""
    scene.create_job()
    scene.kubelet.end("checker", CHECKED)
    scene.kubelet.wait_for("trainer", 2)
    return scene


def token_of(scene: Any, pod: Any, audience: str) -> str:
    """Return the token that the kubelet would project into a pod."""
    accounts = scene.api.dynamic.resources.get(api_version="v1", kind="ServiceAccount")
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    body = {"spec": {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound}}
    path = f"{accounts.path(name='default', namespace=scene.namespace)}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", **body}
    answer = json.loads(scene.api.dynamic.request("post", path, body=request, serialize=False).data)
    return str(answer["status"]["token"])


def mounted_audience(pod: Any) -> str:
    """Return the audience that render/ asked for."""
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    return str(volumes["progress-token"]["projected"]["sources"][0]["serviceAccountToken"]["audience"])


def post(url: str, token: str) -> int:
    request = urllib.request.Request(url, data=json.dumps(REPORT).encode(), headers={"Authorization": f"Bearer {token}"}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def url_of(pod: Any) -> str:
    """Return the address that render/ gave the pod."""
    variables = {item["name"]: item.get("value") for item in pod["spec"]["containers"][0]["env"]}
    return str(variables["KUBEFLOW_TRAINER_SERVER_URL"])


def test_a_pod_of_the_gang_reports_and_the_status_tells(gang):
    pod = gang.kubelet.wait_for("trainer", 2)[0]
    assert post(url_of(pod), token_of(gang, pod, mounted_audience(pod))) == 200
    until(lambda: (gang.status().get("progress") or {}).get("progressPercentage") == 40, "the status has it")


def test_others_are_refused(gang):
    pod = gang.kubelet.wait_for("trainer", 2)[0]
    url, audience = url_of(pod), mounted_audience(pod)
    gang.create_job("other")
    (stranger,) = gang.kubelet.wait_for("checker")
    assert post(url, "made up") == 403
    assert post(url, token_of(gang, pod, "https://kubernetes.default.svc")) == 403
    assert post(url, token_of(gang, stranger, audience)) == 403  # the right audience in a pod of another job
    assert post(url.replace("/bot/", "/nobody/"), token_of(gang, pod, audience)) == 404
    assert not gang.status().get("progress")
