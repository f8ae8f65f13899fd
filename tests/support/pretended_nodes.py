"""Nodes that are only objects, and the real kube-scheduler, which binds pods to them. It looks at pods that ask for it by name, and no others."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from processes import Processes
from waiting import until

SCHEDULER = "tunewright-test"
ROOM = {"cpu": "3", "memory": "64Gi", "ephemeral-storage": "100Gi", "pods": "20"}


class PretendedNodes:
    """Some nodes of equal size and their scheduler, on a control plane of our own. All of it goes with the context."""

    def __init__(self, plane: Any, api: Any, program: Path, folder: Path, names: tuple[str, ...]) -> None:
        self._plane, self._program = plane, program
        self._nodes = api.dynamic.resources.get(api_version="v1", kind="Node")
        self._processes = Processes(folder)
        self.names = names

    def __enter__(self) -> Self:
        for name in self.names:
            self._nodes.create(
                body={"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
            )
        until(self._are_ready, "the nodes' controller trusts them")  # both, before any pod: the first would get all else
        client = self._plane.kubeconfig_for("system:kube-scheduler")
        configuration = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "leaderElection": {"leaderElect": False},
            "clientConnection": {"kubeconfig": str(client)},
            "profiles": [{"schedulerName": SCHEDULER}],
        }
        path = self._plane.write("scheduler.yaml", configuration)
        self._processes.run("kube-scheduler", [str(self._program), f"--config={path}", "--secure-port=0"])
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.stop()
        for name in self.names:
            self._nodes.delete(name=name, body={})

    def beat(self) -> None:
        """Report that the nodes are healthy, as a kubelet does. A node without reports gets no pods."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = {"type": "Ready", "status": "True", "reason": "Pretended", "lastHeartbeatTime": now, "lastTransitionTime": now}
        for name in self.names:
            body: Mapping[str, Any] = {"status": {"capacity": ROOM, "allocatable": ROOM, "conditions": [ready]}}
            self._nodes.status.patch(name=name, body=body, content_type="application/merge-patch+json")

    def _are_ready(self) -> bool:
        self.beat()
        return not any(self._nodes.get(name=name).to_dict()["spec"].get("taints") for name in self.names)
