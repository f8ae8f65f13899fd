"""The node that end-to-end tests stand on: pods run, names and Services lead to them, volumes are made, and nothing leaves the machine."""

import json
from pathlib import Path

import pytest
import requests
from probe_pods import SECURITY, pod
from waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.harness]
OUTSIDE = {
    "the internet": "192.0.2.200:443",  # RFC 5737: an unassigned address, which every machine would send to its gateway
    "a private network": "10.1.2.3:443",
    "a metadata service": "169.254.169.254:80",
    "a name": "example.com:443",
    "IPv6": "[2001:db8::1]:443",
}


@pytest.fixture(autouse=True)
def of_our_own(node):
    if node.own is None:
        pytest.skip("a cluster that exists is not ours to test")


def start(node, namespace, *manifests):
    """Create objects and return the first one's name."""
    for manifest in manifests:
        made = node.api.create(manifest, namespace, keep=True)
        assert made.accepted, made.message
    return manifests[0]["metadata"]["name"]


def ended(node, namespace, name):
    """Wait until a pod has ended; return its log."""
    phase = lambda: (node.api.get("v1", "Pod", name, namespace) or {}).get("status", {}).get("phase")  # noqa: E731
    until(lambda: phase() in ("Succeeded", "Failed"), f"pod {name} ends")
    return node.kubectl("logs", name, f"--namespace={namespace}").stdout.strip()


def running(node, namespace, name):
    done = node.kubectl("wait", "pod", name, f"--namespace={namespace}", "--for=condition=Ready", "--timeout=120s")
    assert done.returncode == 0, done.stderr


def test_a_pod_runs_and_its_words_and_its_end_are_read(node, namespace):
    assert ended(node, namespace, start(node, namespace, pod("say", "hello", "world"))) == "hello world"


def test_a_running_pod_takes_commands(node, namespace):
    name = start(node, namespace, pod("pause"))
    running(node, namespace, name)

    assert node.kubectl("exec", name, f"--namespace={namespace}", "--", "probe", "say", "inside").stdout == "inside\n"


@pytest.fixture
def web(node, namespace):
    """A pod that answers `hello` behind the Service `web`."""
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    service["spec"] = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
    name = start(node, namespace, pod("serve", ":8080", "hello", labels={"app": "web"}), service)
    running(node, namespace, name)
    return name


@pytest.mark.parametrize("host", ["web", "web.{namespace}.svc.cluster.local"])
def test_a_service_is_reached_by_its_name(node, namespace, web, host):
    asked = start(node, namespace, pod("get", f"http://{host.format(namespace=namespace)}/"))

    assert ended(node, namespace, asked) == "hello"


def test_this_machine_s_clients_reach_services_and_pods(node, namespace, web):
    addresses = [
        node.api.get("v1", "Service", "web", namespace)["spec"]["clusterIP"],
        node.api.get("v1", "Pod", web, namespace)["status"]["podIP"] + ":8080",
    ]

    assert [until(lambda a=address: answer(a), f"{address} answers") for address in addresses] == ["hello\n", "hello\n"]


def answer(address):
    try:
        return requests.get(f"http://{address}", timeout=5).text
    except requests.ConnectionError:
        return None


def test_a_pod_reaches_the_api_server(node, namespace):
    assert ended(node, namespace, start(node, namespace, pod("dial", "kubernetes.default.svc:443"))) == "connected"


@pytest.mark.parametrize("address", OUTSIDE.values(), ids=OUTSIDE)
def test_nothing_a_pod_sends_leaves_and_it_is_told_at_once(node, namespace, address):
    said = ended(node, namespace, start(node, namespace, pod("dial", address)))

    assert said.endswith(("no route to host", "network is unreachable", "server misbehaving")), said  # and not: i/o timeout


def test_a_pod_does_not_reach_the_machine_itself(node, namespace):
    said = ended(node, namespace, start(node, namespace, pod("dial", f"{node.own.slot.machine_address}:22")))

    assert said.endswith("no route to host")


@pytest.mark.parametrize("mode", ["ReadWriteOnce", "ReadWriteMany"])
def test_a_claim_gets_a_volume_that_pods_share_and_that_goes_with_it(node, namespace, mode):
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}}
    claim["spec"] = {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}}
    start(node, namespace, claim)
    ended(
        node,
        namespace,
        start(node, namespace, pod("write", "/data/word", "kept", claim="data", securityContext=SECURITY | {"runAsUser": 1234})),
    )
    assert ended(node, namespace, start(node, namespace, pod("read", "/data/word", claim="data"))) == "kept"

    volume = node.api.get("v1", "PersistentVolumeClaim", "data", namespace)["spec"]["volumeName"]
    folder = Path(node.api.get("v1", "PersistentVolume", volume)["spec"]["hostPath"]["path"])
    assert (folder / "word").read_text() == "kept"
    node.kubectl("delete", "pod", "--all", "--now", f"--namespace={namespace}")
    node.api.delete("v1", "PersistentVolumeClaim", "data", namespace)
    until(lambda: node.api.get("v1", "PersistentVolume", volume) is None, "the volume goes with its claim")
    assert not folder.exists()


def test_helm_speaks_to_this_cluster(node):
    assert json.loads(node.helm("list", "--namespace=default", "--output=json").stdout) == []
