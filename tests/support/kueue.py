"""The real Kueue beside a control plane of our own: its published manifests, and its manager as a process of this machine.

`TUNEWRIGHT_KUEUE` names a folder with Kueue's source, in which its manager has been built. It is a Go module like any other:

    go mod download -json sigs.k8s.io/kueue@v0.16.1   # prints its folder, which is read-only: copy it
    go build -o bin/manager ./cmd/kueue

The manifests are those of its `config/default`, webhooks and all. Where a pod would run there is a process, so the webhooks' Service becomes
a name for this machine, and what a kubelet would mount from a Secret is written into a folder.
"""

import base64
import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from control_plane import free_ports
from processes import Processes
from ruamel.yaml import YAML
from waiting import until

VARIABLE = "TUNEWRIGHT_KUEUE"
NAMESPACE = "kueue-system"
USER = "kueue"
API = "kueue.x-k8s.io/v1beta2"
FLAVOR = "spot"
NODES = {"pool": FLAVOR}
TOLERATION = {"key": "spot", "operator": "Exists", "effect": "NoSchedule"}


def source() -> Path:
    """Return the folder of Kueue's source, or skip."""
    folder = Path(os.environ.get(VARIABLE, "no folder")).absolute()
    if not (folder / "bin/manager").is_file():
        pytest.skip(f"{VARIABLE} names no folder with Kueue's source and its bin/manager (tests/support/kueue.py says how to build it)")
    return folder


class Kueue:
    """Kueue at work. All of it goes with the context. `settings` are added to its configuration."""

    def __init__(self, cluster: Any, source: Path, folder: Path, **settings: Any) -> None:
        self._cluster, self._source, self._folder = cluster, source, folder
        self._processes = Processes(folder)
        self._webhook, health = free_ports(2)
        self._manifests: Sequence[Mapping[str, Any]] = ()
        self._settings = {
            "apiVersion": "config.kueue.x-k8s.io/v1beta2",
            "kind": "Configuration",
            "namespace": NAMESPACE,
            "health": {"healthProbeBindAddress": f"127.0.0.1:{health}"},
            "metrics": {"bindAddress": "0"},
            "webhook": {"host": "127.0.0.1", "port": self._webhook, "certDir": str(folder)},
            "leaderElection": {"leaderElect": False},
            "integrations": {"frameworks": ["batch/job", "deployment"]},
            **settings,
        }

    def __enter__(self) -> Self:
        rendered = self._cluster.kubectl("kustomize", str(self._source / "config/default"))
        assert rendered.returncode == 0, rendered.stderr
        found = YAML(typ="safe").load_all(rendered.stdout)
        self._manifests = [self._at_home(item) for item in found if item["kind"] not in ("Deployment", "APIService")]
        self._kubectl("apply", "--server-side", *self._manifests)
        settings = self._folder / "kueue.json"
        settings.write_text(json.dumps(self._settings), encoding="utf-8")
        kubeconfig = self._cluster.plane.kubeconfig_for(USER, "system:masters")
        manager = [str(self._source / "bin/manager"), f"--config={settings}", f"--kubeconfig={kubeconfig}"]
        self._processes.run("kueue", [*manager, "--feature-gates=VisibilityOnDemand=false"])
        for name, content in until(self._certificate, "Kueue has made its certificate").items():
            (self._folder / name).write_bytes(base64.b64decode(content))
        self._processes.wait_until(self._answers, "Kueue's webhooks answer", log_of="kueue")
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.stop()
        hooks = [item for item in self._manifests if item["kind"].endswith("WebhookConfiguration")]
        self._kubectl("delete", *hooks)  # no webhook answers any more
        for kind in ("workload", "localqueue", "clusterqueue", "resourceflavor"):  # nor takes his finalizers off
            for item in json.loads(self._cluster.kubectl("get", kind, "-A", "-o", "json").stdout)["items"]:
                meta = item["metadata"]
                where = ["-n", meta["namespace"]] if "namespace" in meta else []
                self._cluster.kubectl("patch", kind, meta["name"], *where, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
        self._kubectl("delete", "--wait=false", "--ignore-not-found", *[item for item in self._manifests if item not in hooks])

    def open_queue(self, namespace: str, name: str, **quota: str) -> None:
        """Make a queue for a namespace, with so much of each resource, all of one flavor."""
        queue = {"apiVersion": API, "kind": "LocalQueue", "metadata": {"name": name, "namespace": namespace}}
        self._kubectl(
            "apply",
            "--server-side",
            {
                "apiVersion": API,
                "kind": "ResourceFlavor",
                "metadata": {"name": FLAVOR},
                "spec": {"nodeLabels": NODES, "tolerations": [TOLERATION]},
            },
            {
                "apiVersion": API,
                "kind": "ClusterQueue",
                "metadata": {"name": namespace},
                "spec": _shared_out(quota) | {"namespaceSelector": {}},
            },
            {**queue, "spec": {"clusterQueue": namespace}},
        )

    def grant(self, namespace: str, **quota: str) -> None:
        """Give a namespace's queue another quota."""
        self._change(namespace, _shared_out(quota))

    def stop_queue(self, namespace: str, how: str) -> None:
        """`HoldAndDrain` evicts what runs; `None` lets it in again."""
        self._change(namespace, {"stopPolicy": how})

    def _change(self, namespace: str, spec: Mapping[str, Any]) -> None:
        patched = self._cluster.kubectl("patch", "clusterqueue", namespace, "--type=merge", "-p", json.dumps({"spec": spec}))
        assert patched.returncode == 0, patched.stderr

    def _at_home(self, item: Mapping[str, Any]) -> Mapping[str, Any]:
        """Point the webhooks to this machine. An ExternalName Service is called at the caller's port."""
        told = copy.deepcopy(dict(item))
        if told["kind"] == "Service" and told["metadata"]["name"] == "kueue-webhook-service":
            told["spec"] = {"type": "ExternalName", "externalName": "localhost"}
        hooks = list(told.get("webhooks", ()))
        if told["kind"] == "CustomResourceDefinition" and "conversion" in told["spec"]:
            hooks.append(told["spec"]["conversion"]["webhook"])
        for hook in hooks:
            hook["clientConfig"]["service"]["port"] = self._webhook
        return told

    def _certificate(self) -> Mapping[str, str] | None:
        secret = self._cluster.api.get("v1", "Secret", "kueue-webhook-server-cert", NAMESPACE)
        return (secret or {}).get("data")

    def _answers(self) -> bool:
        probe = {"apiVersion": API, "kind": "ResourceFlavor", "metadata": {"name": "probe"}, "spec": {}}
        return self._cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(probe)).returncode == 0

    def _kubectl(self, *words: Any) -> None:
        options = [word for word in words if isinstance(word, str)]
        items = [word for word in words if not isinstance(word, str)]
        done = self._cluster.kubectl(*options, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
        assert done.returncode == 0, done.stderr


def _shared_out(quota: Mapping[str, str]) -> dict[str, Any]:
    resources = [{"name": name, "nominalQuota": amount} for name, amount in quota.items()]
    return {
        "preemption": {"withinClusterQueue": "LowerPriority"},
        "resourceGroups": [{"coveredResources": list(quota), "flavors": [{"name": FLAVOR, "resources": resources}]}],
    }
