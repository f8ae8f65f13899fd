"""What a training pod does to report its progress: its projected token, its operator's address, its report."""

import json
import urllib.error
import urllib.request
from typing import Any

REPORT = {
    "trainerStatus": {
        "progressPercentage": 40,
        "estimatedRemainingSeconds": 60,
        "metrics": [{"name": "loss", "value": "1.5"}],
        "lastUpdatedTime": "2026-01-01T10:00:00Z",
    }
}


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
